"""Fixed weights of the tasks' losses."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_smes.losses.task_weights import TaskWeights
from keras_smes.types import Tensor
from keras_smes.validation import check_weight


@keras.saving.register_keras_serializable(package="keras_smes")
class FixedWeights(TaskWeights):
    """Sums the tasks' losses, each times its weight: `L = sum_t w[t] * L[t]`.

    Args:
        weights: Dict from the name of a task to its weight w, a number of at least 0.

    Raises:
        ValueError: `weights` is empty, or one is negative or not finite; when called, `losses` has other
            tasks.

    Example:

    >>> balance = FixedWeights({"click": 1.0, "like": 10.0})
    >>> float(balance({"click": np.float32(0.5), "like": np.float32(0.25)}))
    3.0

    In a model that holds it; `UncertaintyWeights` and `DynamicWeightAverage` are used alike:

    >>> class TwoTasks(keras.Model):
    ...     def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
    ...         entropy = keras.losses.BinaryCrossentropy()
    ...         losses = {task: entropy(y[task], y_pred[task]) for task in self.balance.tasks}
    ...         return self.balance(losses, training=training) + sum(self.losses)
    """

    def __init__(self, weights: Mapping[str, float], **kwargs: Any) -> None:
        super().__init__(list(weights), **kwargs)
        self.weights_of_tasks = {task: check_weight(f"weights[{task}]", w) for task, w in weights.items()}

    def combine(self, losses_t: Tensor, training: bool) -> Tensor:
        return ops.sum(ops.array(list(self.weights_of_tasks.values()), "float32") * losses_t)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["tasks"]
        return {**config, "weights": dict(self.weights_of_tasks)}
