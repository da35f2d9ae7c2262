"""Dynamic weight average: task weights from the rates of change of their losses."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.losses.task_weights import TaskWeights
from keras_smes.types import Tensor


@keras.saving.register_keras_serializable(package="keras_smes")
class DynamicWeightAverage(TaskWeights):
    """Gives more weight to tasks whose loss falls more slowly from epoch to epoch.

    ```
    r[t] = mean loss of t in epoch e - 1 / mean loss of t in epoch e - 2
    w[t] = T * softmax_t(r[t] / temperature)
    L = sum_t w[t] * L[t]
    ```

    Weights are 1 in the first two epochs. `end_epoch` ends an epoch. Means are over the batches of training
    whose loss is not exactly 0, which are those with rows that count for the task. Epochs without such a
    batch are skipped for the task; r is 1 until two have been counted.

    Args:
        tasks: Names of the tasks.
        temperature: Positive number; higher values give more even weights. Defaults to `2.0`.

    Attributes:
        task_weights: float32 `[T]`, w in the order of `tasks`.

    Raises:
        ValueError: `tasks` is empty or has duplicates, or `temperature` isn't positive; when called,
            `losses` has other tasks.

    Example:

    >>> balance = DynamicWeightAverage(["click", "like"])
    >>> for click, like in np.array([[1.0, 1.0], [0.5, 1.0]], "float32"):
    ...     loss = balance({"click": click, "like": like}, training=True)
    ...     balance.end_epoch()
    >>> balance.task_weights.numpy().round(3)  # 2 * softmax([0.5, 1.0] / 2)
    array([0.876, 1.124], dtype=float32)

    `FixedWeights` has an example in a model. Fit it with the callback

    >>> epochs = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: balance.end_epoch())

    References:
        - [End-to-End Multi-Task Learning with Attention](https://arxiv.org/abs/1803.10704)
    """

    def __init__(self, tasks: Sequence[str], temperature: float = 2.0, **kwargs: Any) -> None:
        super().__init__(tasks, **kwargs)
        if not isinstance(temperature, int | float) or not temperature > 0:
            raise ValueError(f"`temperature` must be positive. Received: temperature={temperature!r}")
        self.temperature = float(temperature)
        self.task_weights = self.add_task_weight("task_weights", 1.0)
        self._sums = self.add_task_weight("sums", 0.0)
        self._steps = self.add_task_weight("steps", 0.0)
        # -1: no epoch yet.
        self._means = [self.add_task_weight(f"means_{age}_epochs_ago", -1.0) for age in (1, 2)]

    def combine(self, losses_t: Tensor, training: bool) -> Tensor:
        if training:
            self._sums.assign_add(ops.stop_gradient(losses_t))
            self._steps.assign_add(ops.cast(self.counted(losses_t), "float32"))
        return ops.sum(ops.convert_to_tensor(self.task_weights) * losses_t)

    def end_epoch(self) -> None:
        """Ends an epoch and sets the weights of the next. An epoch without steps changes nothing."""
        last, before = self._means
        states = (self._sums, self._steps, last, before)
        sums_t, steps_t, last_t, before_t = map(ops.convert_to_tensor, states)
        had_rows_t = steps_t > 0
        before_t = ops.where(had_rows_t, last_t, before_t)
        last_t = ops.where(had_rows_t, ops.divide_no_nan(sums_t, steps_t), last_t)
        ratios_t = ops.where(before_t > 0, ops.divide_no_nan(last_t, before_t), 1.0)
        before.assign(before_t)
        last.assign(last_t)
        for counted in (self._sums, self._steps):
            counted.assign(ops.zeros(counted.shape))
        self.task_weights.assign(len(self.tasks) * ops.softmax(ratios_t / self.temperature))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
