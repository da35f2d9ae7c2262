"""Regression on a transform of a number, such as watch time."""

import dataclasses
import math
from typing import ClassVar

import numpy as np
from keras import ops

from keras_smes.moments import nonzero_std
from keras_smes.tasks.registry import register_kind
from keras_smes.tasks.task import Labels, Task
from keras_smes.types import Tensor
from keras_smes.validation import check_number, check_one_of, check_positive

TRANSFORMS = ("log1p", "identity")
LARGEST_LOG = 80.0  # exp(80) is still a float32


@register_kind
@dataclasses.dataclass(frozen=True, kw_only=True)
class RegressionTask(Task):
    """Regression on a transform of the label, standardised by the training labels.

    ```
    target = (f(y) - mean) / std,  f = log1p or identity
    loss   = e^2,  e = logit - target;  with `huber` d, and |e| above it:  d * (2 * |e| - d)
    score  = f^-1(mean + std * logit), not below 0 for log1p
    ```

    A tower starts near 0, so with the fitted `mean` and `std` it starts near the mean, and the loss of a
    constant is 1 in any unit. The squared error estimates the mean of f(y): with `log1p` the score is about
    the geometric mean of y, which is below its mean where y is skewed. The order is unaffected. Where sums of
    scores must match sums of labels, use `identity` or `WeightedLogisticTask`.

    Args:
        name: Name of the task and of its score.
        label: Label column, finite numbers, for `log1p` at least 0; NaN where unknown. Defaults to `None`,
            the name.
        weight: Factor of the loss. Defaults to `1.0`.
        condition: Label column that must be 1 for a row to count. Defaults to `None`.
        units: Widths of the tower's hidden layers. Defaults to `None`, the ranker's.
        transform: `"log1p"`, for durations and counts, or `"identity"`. Defaults to `"log1p"`.
        huber: Size of the error, in standard deviations, above which the loss grows linearly, which limits
            the influence of very large labels: twice Huber's loss. Defaults to `None`: squared error
            everywhere.
        mean: Mean of the transformed labels. Defaults to `None`: `fit` computes it from the training rows; 0
            until then.
        std: Their standard deviation. Defaults to `None`: `fit` computes it, with 1 for labels that are
            constant up to the rounding of float32; 1 until then.

    Raises:
        ValueError: `transform` is unknown, `huber` or `std` is not positive, or `mean` is not finite.

    Example:

    >>> task = RegressionTask("watch_time").fit({"watch_time": np.array([0.0, np.expm1(2.0)])})
    >>> round(task.mean, 4), round(task.std, 4)
    (1.0, 1.0)
    >>> round(float(task.score(np.zeros(1, "float32"))[0]), 4)  # e - 1
    1.7183
    """

    transform: str = "log1p"
    huber: float | None = None
    mean: float | None = None
    std: float | None = None

    kind: ClassVar[str] = "regression"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one_of("transform", self.transform, TRANSFORMS)
        for field, check in (("huber", check_positive), ("mean", check_number), ("std", check_positive)):
            if getattr(self, field) is not None:
                object.__setattr__(self, field, check(field, getattr(self, field)))

    def fit(self, labels: Labels) -> "RegressionTask":
        """Returns the task with the moments of the transformed labels that count, unless they are given.

        Raises:
            ValueError: No row counts.
        """
        labels_n = self.targets(labels)[self.counted(labels) > 0].astype(np.float64)
        if not len(labels_n):
            raise ValueError(f"Task {self.name!r} needs rows that count. Received: none of {self.columns}")
        transformed_n = np.log1p(labels_n) if self.transform == "log1p" else labels_n
        mean = float(transformed_n.mean()) if self.mean is None else self.mean
        std = nonzero_std(float(transformed_n.mean()), float(transformed_n.std()))
        return dataclasses.replace(self, mean=mean, std=std if self.std is None else self.std)

    def score(self, logits: Tensor) -> Tensor:
        values_b = ops.cast(logits, "float32") * self._std + self._mean
        if self.transform == "identity":
            return values_b
        return ops.expm1(ops.clip(values_b, 0.0, LARGEST_LOG))

    def row_losses(self, labels_b: Tensor, logits: Tensor) -> Tensor:
        values_b = ops.log1p(labels_b) if self.transform == "log1p" else labels_b
        errors_b = logits - (values_b - self._mean) / self._std
        if self.huber is None:
            return ops.square(errors_b)
        # With c = min(|e|, d), both e^2 and its linear continuation are c * (2 * |e| - c).
        sizes_b = ops.abs(errors_b)
        clipped_b = ops.minimum(sizes_b, self.huber)
        return clipped_b * (2 * sizes_b - clipped_b)

    @property
    def rule(self) -> str:
        return "finite and at least 0" if self.transform == "log1p" else "finite"

    def is_label(self, values_b: np.ndarray) -> np.ndarray:
        lowest = 0 if self.transform == "log1p" else -math.inf
        return np.isfinite(values_b) & (values_b >= lowest)

    @property
    def _mean(self) -> float:
        return 0.0 if self.mean is None else self.mean

    @property
    def _std(self) -> float:
        return 1.0 if self.std is None else nonzero_std(self._mean, self.std)
