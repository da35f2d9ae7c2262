"""Ordered levels, such as the stars of a rating."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from keras import ops

from keras_smes.checks import check_ascending
from keras_smes.tasks.cross_entropy import cross_entropy
from keras_smes.tasks.task import Labels, Task

Tensor = Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class OrdinalTask(Task):
    """The level of a label among K, by K - 1 questions: does it reach threshold 1, 2, ...?

    ```
    level k of y:  how many thresholds c satisfy y >= c;  0 to K - 1
    z[1] = x[1],  z[j] = z[j - 1] - softplus(x[j])           for the tower's numbers x [K - 1]
    P(level >= j) = sigmoid(z[j])                            falls with j, always
    loss  = -sum_j (1[k >= j] * log P(level >= j) + 1[k < j] * log(1 - P(level >= j)))
    score = values[0] + sum_j (values[j] - values[j - 1]) * P(level >= j),  the expected value
    ```

    The sum of binary cross entropies is CORAL's loss. CORAL and proportional odds both give all rows one set
    of cut-points and move a row along them by one number, so that every row's distribution has one spread
    of logits. Here a row has its own gaps between cut-points, from its tower: ratings of some items are
    divided and of others not. Proportional odds are what is left if the gaps' kernels are 0. The
    probabilities are in order by construction, where CORAL's biases are only at the optimum.

    Args:
        name: Name of the task and of its score.
        thresholds: Ascending numbers, K - 1 of them: the least label of each level but the lowest. Must be
            given.
        label: Label column, finite numbers; NaN where unknown. Defaults to `None`, the name.
        weight: Factor of the loss. Defaults to `1.0`.
        condition: Label column that must be 1 for a row to count. Defaults to `None`.
        units: Widths of the tower's hidden layers. Defaults to `None`, the ranker's.
        values: What each of the K levels is worth, ascending. Defaults to `None`, `0` to `K - 1`.

    Raises:
        ValueError: No thresholds, some that don't ascend, or another number of `values` than levels.

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
                    f"`values` must hold {len(self.thresholds) + 1} numbers, one a level. "
                    f"Received: values={list(self.values)}"
                )

    @property
    def width(self) -> int:
        return len(self.thresholds)

    @property
    def level_values(self) -> np.ndarray:
        """What each level is worth, float32 `[K]`."""
        return np.asarray(range(self.width + 1) if self.values is None else self.values, np.float32)

    def reach_logits(self, logits: Tensor) -> Tensor:
        """Returns z, the logits of reaching each threshold, float32 `[B, K - 1]`, from the tower's x."""
        x_bj = self._wide(ops.cast(logits, "float32"))
        return x_bj[:, :1] - ops.pad(ops.cumsum(ops.softplus(x_bj[:, 1:]), axis=1), [[0, 0], [1, 0]])

    def score(self, logits: Tensor) -> Tensor:
        worth = self.level_values
        return ops.sum(np.diff(worth) * ops.sigmoid(self.reach_logits(logits)), axis=1) + worth[0]

    def row_losses(self, labels_b: Tensor, logits: Tensor) -> Tensor:
        reached_bj = ops.cast(labels_b[:, None] >= np.asarray(self.thresholds, np.float32), "float32")
        return ops.sum(cross_entropy(reached_bj, 1 - reached_bj, self.reach_logits(logits)), axis=1)

    def levels(self, labels: Labels) -> np.ndarray:
        """Returns the level of each row, int64 `[B]`; that of a label 0 where a row doesn't count."""
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
