"""Adam that updates only the rows of a batch."""

from typing import Any

import keras
from keras import ops

from keras_smes.optimizers.row_optimizer import RowOptimizer
from keras_smes.types import Tensor
from keras_smes.validation import check_weight


@keras.saving.register_keras_serializable(package="keras_smes")
class LazyAdam(RowOptimizer):
    """Adam on the rows that a batch touches; other rows keep their weights and moments.

    ```
    for each row r whose gradient g[r], summed over the batch, is not zero, in step n = 1, 2, ...:
        m[r] += (1 - beta_1) * (g[r] - m[r])
        v[r] += (1 - beta_2) * (g[r]^2 - v[r])
        w[r] -= learning_rate * sqrt(1 - beta_2^n) / (1 - beta_1^n) * m[r] / (sqrt(v[r]) + epsilon)
    ```

    A row is a slice along the first axis: an id of an embedding table, an expert of an `ExpertPool`.
    On TensorFlow the cost of a step doesn't grow with the embedding table. On JAX and under
    `jit_compile=True` it does, with the same result.

    Adam would decay the moments of untouched rows and move them by the remaining momentum. n counts steps of
    the optimizer, as in TensorFlow Addons, not of a row: the first step of a row that is first touched late
    is `(1 - beta_1) / sqrt(1 - beta_2)` times the learning rate, 3.2 times with the defaults.

    Use it for embeddings; `SplitOptimizer` gives the other weights another optimizer. Constraints and
    regularizers of a table touch all its rows: don't set them.

    Args:
        learning_rate: Float, a `keras.optimizers.schedules.LearningRateSchedule` or a callable.
            Defaults to `0.001`.
        beta_1: Decay of the first moment, at least 0 and less than 1. Defaults to `0.9`.
        beta_2: Decay of the second moment, at least 0 and less than 1. Defaults to `0.999`.
        epsilon: Number of at least 0 that keeps the division finite. Defaults to `1e-7`.
        **kwargs: `name`, `clipnorm`, `clipvalue` and `global_clipnorm` of `keras.optimizers.Optimizer`; the
            parts of repeated ids are summed before they are clipped. Others, such as `weight_decay`, would
            update every row of a table in each step and are rejected.

    Raises:
        ValueError: A number is out of range; or `weight_decay`, `use_ema`, `loss_scale_factor` or
            `gradient_accumulation_steps`, which would update every row of a table in each step.

    Example:

    >>> optimizer = SplitOptimizer(LazyAdam(0.001), rest=FusedAdam(0.001))

    References:
        - [Adam: A Method for Stochastic Optimization](https://arxiv.org/abs/1412.6980)
        - [TensorFlow Addons: LazyAdam](https://www.tensorflow.org/addons/api_docs/python/tfa/optimizers/LazyAdam)
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = _check_decay("beta_1", beta_1)
        self.beta_2 = _check_decay("beta_2", beta_2)
        self.epsilon = check_weight("epsilon", epsilon)

    def new_state(self, variable: Any) -> Any:
        # Both moments of a row are adjacent: memory latency dominates on a large table.
        axis = _axis_of_moments(variable)
        return self.add_state(variable, "moments", (*variable.shape[:axis], 2, *variable.shape[axis:]))

    def row_step(
        self, gradient: Tensor, learning_rate: Tensor, weights: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        axis = _axis_of_moments(weights)
        momentum, velocity = ops.unstack(state, 2, axis=axis)
        momentum = momentum + (1 - self.beta_1) * (gradient - momentum)
        velocity = velocity + (1 - self.beta_2) * (ops.square(gradient) - velocity)
        step = ops.cast(self.iterations + 1, learning_rate.dtype)
        beta_1, beta_2 = (ops.cast(beta, learning_rate.dtype) for beta in (self.beta_1, self.beta_2))
        corrected = learning_rate * ops.sqrt(1 - ops.power(beta_2, step)) / (1 - ops.power(beta_1, step))
        change = corrected * momentum / (ops.sqrt(velocity) + self.epsilon)
        return weights - change, ops.stack([momentum, velocity], axis=axis)

    def get_config(self) -> dict[str, Any]:
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


def _axis_of_moments(weights: Any) -> int:
    return min(1, len(weights.shape))


def _check_decay(name: str, value: Any) -> float:
    if check_weight(name, value) >= 1:
        raise ValueError(f"`{name}` must be less than 1. Received: {name}={value!r}")
    return float(value)
