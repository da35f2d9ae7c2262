"""Ordinal labels, such as the stars of a rating."""

import dataclasses
from typing import ClassVar

import numpy as np
from keras import ops

from keras_smes.tasks.cross_entropy import cross_entropy
from keras_smes.tasks.registry import register_kind
from keras_smes.tasks.task import Labels, Task
from keras_smes.types import Tensor
from keras_smes.validation import check_ascending


@register_kind
@dataclasses.dataclass(frozen=True, kw_only=True)
class OrdinalTask(Task):
    """The level of a label among K, by K - 1 cumulative logits: does it reach threshold 1, 2, ...?

    ```
    level k of y:  how many thresholds c satisfy y >= c;  0 to K - 1
    z[1] = x[1],  z[j] = z[j - 1] - softplus(x[j])           for the tower's outputs x [K - 1]
    P(level >= j) = sigmoid(z[j])                            decreases with j by construction
    loss  = -sum_j (1[k >= j] * log P(level >= j) + 1[k < j] * log(1 - P(level >= j)))
    score = values[0] + sum_j (values[j] - values[j - 1]) * P(level >= j),  the expected value
    ```

    The sum of binary cross entropies is CORAL's loss. CORAL and proportional odds share one set of cut-points
    over all rows and shift a row along them by one number, so the logits of all rows have the same spread.
    Here the tower gives each row its own gaps between cut-points, since ratings of some items are more
    divided than of others. Proportional odds are the special case of gap kernels equal to 0. The
    probabilities are ordered by construction; CORAL's biases are ordered only at the optimum.

    Args:
        name: Name of the task and of its score.
        thresholds: K - 1 ascending numbers: the smallest label of each level except the lowest. Required.
        label: Label column, finite numbers; NaN where unknown. Defaults to `None`, the name.
        weight: Factor of the loss. Defaults to `1.0`.
        condition: Label column that must be 1 for a row to count. Defaults to `None`.
        units: Widths of the tower's hidden layers. Defaults to `None`, the ranker's.
        values: Ascending values of the K levels. Defaults to `None`, `0` to `K - 1`.

    Raises:
        ValueError: Thresholds are missing or don't ascend, or `values` doesn't have one number per level.

    Example:

    >>> stars = OrdinalTask("stars", thresholds=(2, 3, 4, 5), values=(1, 2, 3, 4, 5))
    >>> stars.width
    4
    >>> stars.observed({"stars": np.array([1.0, 4.0])}).tolist()
    [1.0, 4.0]

    References:
        - [Rank consistent ordinal regression (CORAL)](https://arxiv.org/abs/1901.07884)
    """

    thresholds: tuple[float, ...] = ()
    values: tuple[float, ...] | None = None

    kind: ClassVar[str] = "ordinal"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "thresholds", check_ascending("thresholds", self.thresholds))
        if self.values is not None:
            object.__setattr__(self, "values", check_ascending("values", self.values))
            if len(self.values) != len(self.thresholds) + 1:
                raise ValueError(
                    f"`values` must hold {len(self.thresholds) + 1} numbers, one per level. "
                    f"Received: values={list(self.values)}"
                )

    @property
    def width(self) -> int:
        return len(self.thresholds)

    @property
    def level_values(self) -> np.ndarray:
        """Value of each level, float32 `[K]`."""
        return np.asarray(range(self.width + 1) if self.values is None else self.values, np.float32)

    def reach_logits(self, logits: Tensor) -> Tensor:
        """Returns z, the logits of reaching each threshold, float32 `[B, K - 1]`, of the tower's x."""
        x_bj = self._wide(ops.cast(logits, "float32"))
        return x_bj[:, :1] - ops.pad(ops.cumsum(ops.softplus(x_bj[:, 1:]), axis=1), [[0, 0], [1, 0]])

    def score(self, logits: Tensor) -> Tensor:
        values = self.level_values
        return ops.sum(np.diff(values) * ops.sigmoid(self.reach_logits(logits)), axis=1) + values[0]

    def row_losses(self, labels_b: Tensor, logits: Tensor) -> Tensor:
        reached_bj = ops.cast(labels_b[:, None] >= np.asarray(self.thresholds, np.float32), "float32")
        return ops.sum(cross_entropy(reached_bj, 1 - reached_bj, self.reach_logits(logits)), axis=1)

    def levels(self, labels: Labels) -> np.ndarray:
        """Returns the level of each row, int64 `[B]`; the level of label 0 where a row doesn't count."""
        return np.searchsorted(np.asarray(self.thresholds, np.float32), self.targets(labels), side="right")

    def observed(self, labels: Labels) -> np.ndarray:
        return self.level_values[self.levels(labels)]

    @property
    def rule(self) -> str:
        return "finite"

    def is_label(self, values_b: np.ndarray) -> np.ndarray:
        return np.isfinite(values_b)

    def _wide(self, logits: Tensor) -> Tensor:
        return logits[:, None] if self.width == 1 else logits
