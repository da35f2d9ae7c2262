"""GradNorm: task weights that balance gradient norms."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.losses.task_weights import TaskWeights
from keras_smes.types import Tensor
from keras_smes.validation import check_weight

LEAST_WEIGHT = 1e-3


@keras.saving.register_keras_serializable(package="keras_smes")
class GradNorm(TaskWeights):
    """Balances gradient norms, with larger gradients for tasks that learn more slowly.

    ```
    G[t] = w[t] * n[t]                         n[t]: norm of the gradient of L[t] by the shared weights W
    r[t] = (L[t] / L_first[t]) / mean_t(L[t] / L_first[t])
    L_grad = sum_t |G[t] - mean_t(G) * r[t]^alpha|         (mean(G) * r^alpha held constant)
    w[t] <- w[t] - learning_rate * dL_grad/dw[t],  then scaled to sum T
    L = sum_t w[t] * L[t]
    ```

    The derivative is `sign(G[t] - mean(G) * r[t]^alpha) * n[t]`, so `update` needs no second derivatives.
    Choices beyond the paper: `L_first[t]` is the loss of the task's first update; w takes plain gradient
    steps and is clipped at 0.001 before it is scaled, since a step may overshoot. An update, and its means,
    include the tasks whose loss is not exactly 0 (a batch without rows that count has loss 0) and whose norm
    is finite; the other weights do not change.

    Args:
        tasks: Names of the tasks.
        alpha: Number of at least 0: strength of the pull on slow tasks. Defaults to `1.5`.
        learning_rate: Number of at least 0: step size of the weights. Defaults to `0.025`.

    Attributes:
        task_weights: float32 `[T]`, w in the order of `tasks`.

    Raises:
        ValueError: `tasks` is empty or has duplicates, or a number is negative; when called, `losses` has
            other tasks.

    Example:

    In a TensorFlow model with layers `core` and `balance`, where W are the last shared weights:

    >>> class TwoTasks(keras.Model):
    ...     def train_step(self, data):
    ...         x, y = data
    ...         with tf.GradientTape(persistent=True) as tape:
    ...             y_pred = self(x, training=True)
    ...             entropy = keras.losses.BinaryCrossentropy()
    ...             losses = {task: entropy(y[task], y_pred[task]) for task in y}
    ...             loss = self.balance(losses)
    ...         shared = self.core.get_layer("shared").trainable_variables
    ...         self.balance.update(losses, task_gradients(tape, losses, shared))
    ...         weights = self.trainable_variables
    ...         self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
    ...         return {**losses, "loss": loss}

    References:
        - [GradNorm: Gradient Normalization for Adaptive Loss Balancing](https://arxiv.org/abs/1711.02257)
    """

    def __init__(
        self, tasks: Sequence[str], alpha: float = 1.5, learning_rate: float = 0.025, **kwargs: Any
    ) -> None:
        super().__init__(tasks, **kwargs)
        self.alpha = check_weight("alpha", alpha)
        self.learning_rate = check_weight("learning_rate", learning_rate)
        self.task_weights = self.add_task_weight("task_weights", 1.0)
        self._first_losses = self.add_task_weight("first_losses", -1.0)  # -1: none yet

    def combine(self, losses_t: Tensor, training: bool) -> Tensor:
        return ops.sum(ops.convert_to_tensor(self.task_weights) * losses_t)

    def update(self, losses: Mapping[str, Tensor], gradients: Mapping[str, Sequence[Tensor]]) -> None:
        """Updates the weights by one step, from each task's loss and its unweighted gradients by W."""
        losses_t = self.stack(losses)
        norms_t = self.stack({task: _norm(tensors) for task, tensors in gradients.items()})
        valid_t = ops.logical_and(self.counted(losses_t), ops.isfinite(losses_t * norms_t))
        losses_t, norms_t = (ops.where(valid_t, values_t, 0.0) for values_t in (losses_t, norms_t))
        first_t = ops.convert_to_tensor(self._first_losses)
        first_t = ops.where(ops.logical_and(valid_t, first_t < 0), losses_t, first_t)
        self._first_losses.assign(first_t)
        self.task_weights.assign(self._moved(norms_t, ops.divide_no_nan(losses_t, first_t), valid_t))

    def _moved(self, norms_t: Tensor, left_t: Tensor, valid_t: Tensor) -> Tensor:
        """Returns the next weights; `left_t` is the current loss over the first one."""
        weights_t = ops.convert_to_tensor(self.task_weights)
        rates_t = ops.divide_no_nan(left_t, _mean(left_t, valid_t))
        targets_t = _mean(weights_t * norms_t, valid_t) * ops.power(rates_t, self.alpha)
        moved_t = weights_t - self.learning_rate * ops.sign(weights_t * norms_t - targets_t) * norms_t
        moved_t = ops.maximum(moved_t, LEAST_WEIGHT)
        left = len(self.tasks) - _sum(weights_t, ops.logical_not(valid_t))
        scale = ops.divide_no_nan(left, _sum(moved_t, valid_t))
        return ops.where(valid_t, moved_t * scale, weights_t)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha, "learning_rate": self.learning_rate}


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    return ops.sqrt(sum(ops.sum(ops.square(ops.cast(tensor, "float32"))) for tensor in tensors))


def _sum(values_t: Tensor, valid_t: Tensor) -> Tensor:
    return ops.sum(ops.where(valid_t, values_t, 0.0))


def _mean(values_t: Tensor, valid_t: Tensor) -> Tensor:
    return ops.divide_no_nan(_sum(values_t, valid_t), ops.sum(ops.cast(valid_t, "float32")))
