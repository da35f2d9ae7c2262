"""Base class of tasks."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from keras_smes.configuration.kinds import config_of_kind
from keras_smes.tasks.loss import TaskLoss
from keras_smes.types import Tensor
from keras_smes.validation import check_counts, check_name, check_weight

Labels = Mapping[str, np.ndarray]
OTHER_OUTPUTS = ("fused", "order")  # outputs of a served ranker that belong to no single task


@dataclasses.dataclass(frozen=True)
class Task:
    """Base class of tasks. A subclass defines valid labels, the loss and the score of the tower's outputs.

    A row counts for a task if its label is known and, with a `condition`, if that column is 1. The task then
    learns and predicts given the condition, such as a conversion given a click. Rows that don't count affect
    neither the loss and its gradient nor metrics.

    Args:
        name: Name of the task and of its score; letters, digits and underscores. `"fused"` and `"order"` are
            other outputs of a served ranker.
        label: Name of the label column. Defaults to `None`, the task's name.
        weight: Factor of the task's loss in the sum over tasks. Defaults to `1.0`.
        condition: Name of another label column, of 0 and 1: only rows where it is 1 count. Defaults to
            `None`: all rows count.
        units: Widths of the hidden layers of the task's tower. Defaults to `None`, those of the ranker.

    Raises:
        ValueError: The name can't be served, a column is empty, the weight is negative, or the label is its
            own condition.
    """

    name: str
    label: str = None  # type: ignore[assignment]  # the name, after __post_init__
    weight: float = 1.0
    condition: str | None = None
    units: tuple[int, ...] | None = None

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        if self.label is None:
            object.__setattr__(self, "label", self.name)
        for field, value in (("name", self.name), ("label", self.label), ("condition", self.condition)):
            if not (isinstance(value, str) and value) and not (field == "condition" and value is None):
                raise ValueError(f"`{field}` must be a non-empty string. Received: {field}={value!r}")
        if check_name("name", self.name) in OTHER_OUTPUTS:
            raise ValueError(
                f"`name` must not be one of {list(OTHER_OUTPUTS)}, other outputs of a served ranker. "
                f"Pass the column as `label`. Received: name={self.name!r}"
            )
        if self.condition == self.label:
            raise ValueError(
                f"`condition` must differ from the label column. Received: condition={self.condition!r}"
            )
        object.__setattr__(self, "weight", check_weight("weight", self.weight))
        if self.units is not None:
            object.__setattr__(
                self, "units", () if len(self.units) == 0 else check_counts("units", self.units)
            )

    @property
    def width(self) -> int:
        """Output width of the tower."""
        return 1

    @property
    def columns(self) -> tuple[str, ...]:
        """Label columns of the task: its label, and its condition if it has one."""
        return (self.label,) if self.condition is None else (self.label, self.condition)

    def score(self, logits: Tensor) -> Tensor:
        """Returns the served score, float32 `[B]`, of the tower's outputs `[B]` or `[B, width]`."""
        raise NotImplementedError

    def row_losses(self, labels_b: Tensor, logits: Tensor) -> Tensor:
        """Returns the loss per row, float32 `[B]`, of known labels and the tower's outputs."""
        raise NotImplementedError

    def loss(self, reduction: str = "mean_with_sample_weight") -> TaskLoss:
        """Returns the Keras loss of `(label [B], logits)`; see `TaskLoss`."""
        return TaskLoss(self, reduction=reduction)

    def counted(self, labels: Labels) -> np.ndarray:
        """Returns the sample weights, float32 `[B]`: 1 for the rows that count, 0 for the others.

        Args:
            labels: Label columns `[B]`, among them the task's `columns`; NaN where a label is unknown.
        """
        counted_b = ~np.isnan(self._column(labels, self.label))
        if self.condition is not None:
            counted_b &= self._column(labels, self.condition) == 1
        return counted_b.astype(np.float32)

    def targets(self, labels: Labels) -> np.ndarray:
        """Returns the targets of the loss, float32 `[B]`: labels, and 0 where a row doesn't count.

        The 0 is never learned, since its sample weight is 0; a NaN would stay NaN under any weight.
        """
        return np.where(self.counted(labels) > 0, self._column(labels, self.label), np.float32(0))

    def observed(self, labels: Labels) -> np.ndarray:
        """Returns the values that the score predicts, float32 `[B]`; 0 where a row doesn't count."""
        return self.targets(labels)

    def check(self, labels: Labels) -> None:
        """Validates the labels of all rows, whether they count or not.

        Raises:
            ValueError: A label is invalid; names the task, the column, the row and the value.
        """
        self._check_column(labels, self.label, self.is_label, self.rule)
        if self.condition is not None:
            self._check_column(labels, self.condition, lambda values_b: np.isin(values_b, (0, 1)), "0 or 1")

    @property
    def rule(self) -> str:
        """Valid labels in words that complete "must be ..."."""
        raise NotImplementedError

    def is_label(self, values_b: np.ndarray) -> np.ndarray:
        """Returns whether each value is a valid label, bool `[B]`."""
        raise NotImplementedError

    def fit(self, labels: Labels) -> "Task":
        """Returns the task fitted to training labels; most tasks have nothing to fit."""
        return self

    def to_config(self) -> dict[str, Any]:
        """Returns the task as JSON values."""
        return config_of_kind(self)

    def _column(self, labels: Labels, column: str) -> np.ndarray:
        if column not in labels:
            raise ValueError(
                f"`labels` must have column {column!r} of task {self.name!r}. Received: {sorted(labels)}"
            )
        return np.asarray(labels[column], np.float32)

    def _check_column(self, labels: Labels, column: str, is_good: Any, rule: str) -> None:
        values_b = self._column(labels, column)
        bad = np.flatnonzero(~(is_good(values_b) | np.isnan(values_b)))
        if bad.size:
            raise ValueError(
                f"Labels of task {self.name!r} must be {rule}, or NaN where unknown. "
                f"Received: {column}[{bad[0]}]={values_b[bad[0]]}"
            )
