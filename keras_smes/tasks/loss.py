"""The Keras loss of a task."""

from collections.abc import Mapping
from typing import Any, Protocol

import keras
from keras import ops

from keras_smes.tasks.registry import task_from_config
from keras_smes.types import Tensor


class HasRowLosses(Protocol):
    """The part of a `Task` that its loss uses."""

    @property
    def name(self) -> str: ...

    def row_losses(self, labels_b: Tensor, logits: Tensor) -> Tensor: ...

    def to_config(self) -> dict[str, Any]: ...


@keras.saving.register_keras_serializable(package="keras_smes")
class TaskLoss(keras.losses.Loss):
    """The mean of a task's losses over the rows that count.

    ```
    L = sum_b w[b] * l[b] / sum_b w[b],  l[b] = task.row_losses(label, logits)[b];  0 if all w are 0
    ```

    with sample weights `w = task.counted(labels)`. Keras' default reduction, `"sum_over_batch_size"`, divides
    by the rows of the batch instead: the loss and its gradient then shrink with the share of rows that
    count, and a task on one row in a hundred hardly trains. Dividing by the rows that count keeps all tasks
    on one scale. Its cost is variance: where few rows of a batch count, each has a large weight, so such
    tasks need large batches. The epoch loss that Keras' `fit` reports weights batches by their size, not by
    the rows that count.

    Args:
        task: The `Task`, or its `to_config()`.
        reduction: A Keras reduction. Defaults to `"mean_with_sample_weight"`; without sample weights this is
            the mean over all rows.
        name: Name of the loss. Defaults to `None`, the task's name.

    Call arguments:
        y_true: `[B]` labels without NaN, as `task.targets(labels)` returns them.
        y_pred: Outputs of the tower, `[B]` or `[B, width]`.
        sample_weight: `[B]`. Defaults to `None`: every row counts.

    Example:

    >>> labels = {"buy": np.array([1.0, 0.0, np.nan]), "click": np.array([1.0, 0.0, 1.0])}
    >>> task = BinaryTask("buy", condition="click")
    >>> logits = np.zeros(3, "float32")
    >>> loss = task.loss()(task.targets(labels), logits, sample_weight=task.counted(labels))
    >>> round(float(loss), 4)
    0.6931
    """

    def __init__(
        self,
        task: HasRowLosses | Mapping[str, Any],
        reduction: str = "mean_with_sample_weight",
        name: str | None = None,
    ) -> None:
        self.task: HasRowLosses = task_from_config(task) if isinstance(task, Mapping) else task
        # Sums over a batch need float32, whatever the global floatx.
        super().__init__(name=name or self.task.name, reduction=reduction, dtype="float32")

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        # Keras sums losses in its floatx.
        return ops.cast(super().__call__(y_true, y_pred, sample_weight), keras.config.floatx())

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self.task.row_losses(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        return {"task": self.task.to_config(), **super().get_config()}
