"""A task's loss as Keras takes it."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_smes.tasks.config import task_from_config
from keras_smes.tasks.task import Task

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_smes")
class TaskLoss(keras.losses.Loss):
    """The mean of a task's losses over the rows that count.

    ```
    L = sum_b w[b] * l[b] / sum_b w[b],  l[b] = task.row_losses(label, logits)[b];  0 if all w are 0
    ```

    with sample weights `w = task.counted(labels)`. Keras' usual reduction, `"sum_over_batch_size"`, divides
    by the rows of the batch instead: the loss and its gradient then shrink with the share of rows that
    count, so that a task on one row in a hundred hardly trains. Dividing by the rows that count keeps tasks
    on one scale, at a price: in a batch where few rows count each weighs much, so such tasks want large
    batches. The loss of an epoch, as Keras' `fit` reports it, is the mean over batches by their size, not by
    the rows that counted in them.

    Args:
        task: The `Task`, or its `to_config()`.
        reduction: A Keras reduction. Defaults to `"mean_with_sample_weight"`; without sample weights this is
            the mean over all rows.
        name: Name of the loss. Defaults to `None`, the task's.

    Call arguments:
        y_true: `[B]` labels without NaN, as `task.targets(labels)` gives them.
        y_pred: The tower's numbers: `[B]`, or `[B, width]`.
        sample_weight: `[B]`. Defaults to `None`, every row counts.

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
        task: Task | Mapping[str, Any],
        reduction: str = "mean_with_sample_weight",
        name: str | None = None,
    ) -> None:
        self.task = task if isinstance(task, Task) else task_from_config(task)
        # Sums over a batch: never half precision, whatever the global floatx.
        super().__init__(name=name or self.task.name, reduction=reduction, dtype="float32")

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        # Keras adds up losses of one type, its floatx.
        return ops.cast(super().__call__(y_true, y_pred, sample_weight), keras.config.floatx())

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self.task.row_losses(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        return {"task": self.task.to_config(), **super().get_config()}
