"""Watch time as the odds of a logistic regression."""

import dataclasses
import math
from typing import ClassVar

import numpy as np
from keras import ops

from keras_smes.tasks.cross_entropy import cross_entropy
from keras_smes.tasks.registry import register_kind
from keras_smes.tasks.task import Labels, Task
from keras_smes.types import Tensor
from keras_smes.validation import check_one_of, check_positive

NEGATIVES = ("unwatched", "all")
LARGEST_LOG = 80.0  # exp(80) is still a float32


@register_kind
@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightedLogisticTask(Task):
    """Expected watch time as the odds of a logistic regression weighted by watch time.

    ```
    loss  = -(y / unit) * log(p) - n * log(1 - p),  p = sigmoid(logit)
    score = unit * exp(logit),  the odds p / (1 - p) in the label's unit
    ```

    Over equal rows the loss is minimal where the odds are `mean(y / unit) / mean(n)`.

    - `negatives="unwatched"` is the paper's: a watched row is a positive of weight y, an unwatched one a
      negative of weight `n = 1[y = 0]`. The odds are then `E[y] / P(y = 0)`, which is about E[y] if few rows
      are watched. At a share P of watched rows they are too high by the factor `1 / (1 - P)`; where every row
      is watched (autoplay) the logit diverges.
    - `negatives="all"` also counts every row as a negative of weight `n = 1`. The odds are exactly E[y] for
      any share of watched rows.

    Args:
        name: Name of the task and of its score.
        label: Label column, finite and at least 0, 0 where nothing was watched; NaN where unknown. Defaults
            to `None`, the name.
        weight: Factor of the loss. Defaults to `1.0`.
        condition: Label column that must be 1 for a row to count. Defaults to `None`.
        units: Widths of the tower's hidden layers. Defaults to `None`, the ranker's.
        negatives: `"unwatched"` or `"all"`. Defaults to `"unwatched"`.
        unit: Watch time of weight 1. Defaults to `None`: `fit` uses the mean of the training labels, at which
            the tower starts; 1 until then.

    Raises:
        ValueError: `negatives` is unknown, or `unit` is not positive.

    Example:

    >>> task = WeightedLogisticTask("seconds", negatives="all", unit=10.0)
    >>> [round(float(s), 4) for s in task.score(np.log(np.array([0.5, 3.0], "float32")))]
    [5.0, 30.0]

    References:
        - [Deep Neural Networks for YouTube Recommendations](https://doi.org/10.1145/2959100.2959190),
          section 4.2
    """

    negatives: str = "unwatched"
    unit: float | None = None

    kind: ClassVar[str] = "weighted_logistic"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one_of("negatives", self.negatives, NEGATIVES)
        if self.unit is not None:
            object.__setattr__(self, "unit", check_positive("unit", self.unit))

    def fit(self, labels: Labels) -> "WeightedLogisticTask":
        """Returns the task with the mean of the labels that count as `unit`, unless it is given.

        Raises:
            ValueError: No row that counts was watched.
        """
        if self.unit is not None:
            return self
        counted_b = self.counted(labels).astype(np.float64)
        watched = float(self.targets(labels).astype(np.float64) @ counted_b)
        if watched == 0:
            raise ValueError(
                f"Task {self.name!r} needs watched rows. Received: {int(counted_b.sum())} rows of 0"
            )
        return dataclasses.replace(self, unit=watched / counted_b.sum())

    def score(self, logits: Tensor) -> Tensor:
        logs_b = ops.cast(logits, "float32") + math.log(self._unit)
        return ops.exp(ops.minimum(logs_b, LARGEST_LOG))

    def row_losses(self, labels_b: Tensor, logits: Tensor) -> Tensor:
        unwatched_b = ops.cast(ops.equal(labels_b, 0), logits.dtype)
        negative_b = ops.ones_like(logits) if self.negatives == "all" else unwatched_b
        return cross_entropy(labels_b / self._unit, negative_b, logits)

    @property
    def rule(self) -> str:
        return "finite and at least 0"

    def is_label(self, values_b: np.ndarray) -> np.ndarray:
        return np.isfinite(values_b) & (values_b >= 0)

    @property
    def _unit(self) -> float:
        return 1.0 if self.unit is None else self.unit
