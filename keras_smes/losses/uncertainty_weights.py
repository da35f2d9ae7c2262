"""Uncertainty weighting: a learned noise level per task."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.losses.task_weights import TaskWeights
from keras_smes.types import Tensor


@keras.saving.register_keras_serializable(package="keras_smes")
class UncertaintyWeights(TaskWeights):
    """Weights each task's loss by a learned noise level: tasks that are hard to predict weigh less.

    ```
    L = sum over t with L[t] != 0 of  c[t] * exp(-s[t]) * L[t] + s[t] / 2
    ```

    where `s = log sigma^2` is learned, starting at 0, and c is 1 for a likelihood with a temperature
    (cross-entropy) and 1/2 for a Gaussian one (squared error). For a constant loss, s converges to
    `exp(s) = 2 * c * L`. A batch without rows that count for the task has a loss of exactly 0 and does not
    change s. The total may be negative.

    Args:
        tasks: Names of the tasks.
        gaussian: Names of the tasks whose loss is a squared error. Defaults to `()`.

    Attributes:
        log_variances: float32 `[T]`, trainable, s in the order of `tasks`.

    Raises:
        ValueError: `tasks` is empty or has duplicates, or `gaussian` has other names; when called, `losses`
            has other tasks.

    Example:

    >>> balance = UncertaintyWeights(["click", "watch_time"], gaussian=["watch_time"])
    >>> float(balance({"click": np.float32(0.5), "watch_time": np.float32(3.0)}))
    2.0

    `FixedWeights` has an example in a model. The layer's variables are trained with the model's.

    References:
        - [Multi-Task Learning Using Uncertainty to Weigh Losses](https://arxiv.org/abs/1705.07115)
    """

    def __init__(self, tasks: Sequence[str], gaussian: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(tasks, **kwargs)
        if isinstance(gaussian, str) or not set(gaussian) <= set(self.tasks):
            raise ValueError(
                f"`gaussian` must be a list of names among tasks={self.tasks}. "
                f"Received: gaussian={gaussian!r}"
            )
        self.gaussian = list(gaussian)
        self.log_variances = self.add_task_weight("log_variances", 0.0, trainable=True)

    def combine(self, losses_t: Tensor, training: bool) -> Tensor:
        factor_t = ops.array([0.5 if task in self.gaussian else 1.0 for task in self.tasks], "float32")
        s_t = ops.convert_to_tensor(self.log_variances)
        likelihood_t = factor_t * ops.exp(-s_t) * losses_t + s_t / 2
        return ops.sum(ops.where(self.counted(losses_t), likelihood_t, 0.0))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gaussian": list(self.gaussian)}
