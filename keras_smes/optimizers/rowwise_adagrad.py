"""Row-wise Adagrad: one accumulator per row."""

from typing import Any

import keras
from keras import ops

from keras_smes.optimizers.row_optimizer import RowOptimizer
from keras_smes.types import Tensor
from keras_smes.validation import check_weight


@keras.saving.register_keras_serializable(package="keras_smes")
class RowwiseAdagrad(RowOptimizer):
    """Adagrad on the rows that a batch touches, with one accumulator per row.

    ```
    for each row r whose gradient g[r], summed over the batch, is not zero:
        a[r] += mean over the row of g[r]^2
        w[r] -= learning_rate * g[r] / (sqrt(a[r]) + epsilon)
    ```

    A row is a slice along the first axis: an id of an embedding table. The state of a table of V rows is V
    numbers; Adam's is two more tables. On TensorFlow the cost of a step doesn't grow with the embedding
    table. On JAX and under `jit_compile=True` it does, with the same result.

    Use it for embeddings; `SplitOptimizer` gives the other weights another optimizer. Constraints and
    regularizers of a table touch all its rows: don't set them.

    Args:
        learning_rate: Float, a `keras.optimizers.schedules.LearningRateSchedule` or a callable.
            Defaults to `0.01`.
        initial_accumulator_value: Number of at least 0, the accumulators' initial value. Defaults to
            `0.0`: the first step of a row then has a root mean square of the learning rate, however
            small its gradient.
        epsilon: Number of at least 0 that keeps the division finite. Defaults to `1e-8`.
        **kwargs: `name`, `clipnorm`, `clipvalue` and `global_clipnorm` of `keras.optimizers.Optimizer`; the
            parts of repeated ids are summed before they are clipped. Others, such as `weight_decay`, would
            update every row of a table in each step and are rejected.

    Raises:
        ValueError: A number is out of range; or `weight_decay`, `use_ema`, `loss_scale_factor` or
            `gradient_accumulation_steps`, which would update every row of a table in each step.

    Example:

    >>> optimizer = SplitOptimizer(RowwiseAdagrad(0.01), rest=FusedAdam(0.001))

    References:
        - [Adaptive Subgradient Methods for Online Learning and Stochastic Optimization](https://jmlr.org/papers/v12/duchi11a.html)
        - [Training with Multi-Layer Embeddings for Model Reduction](https://arxiv.org/abs/2006.05623)
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        initial_accumulator_value: float = 0.0,
        epsilon: float = 1e-8,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.initial_accumulator_value = check_weight("initial_accumulator_value", initial_accumulator_value)
        self.epsilon = check_weight("epsilon", epsilon)

    def new_state(self, variable: Any) -> Any:
        # Axes of size 1 are kept, so that it broadcasts against its table, row by row.
        shape = (*variable.shape[:1], *(1 for _ in variable.shape[1:]))
        initial = keras.initializers.Constant(self.initial_accumulator_value)
        return self.add_state(variable, "accumulator", shape, initializer=initial)

    def row_step(
        self, gradient: Tensor, learning_rate: Tensor, weights: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        axes = tuple(range(1, len(weights.shape)))
        accumulator = state + ops.mean(ops.square(gradient), axis=axes, keepdims=True)
        return weights - learning_rate * gradient / (ops.sqrt(accumulator) + self.epsilon), accumulator

    def get_config(self) -> dict[str, Any]:
        own = {"initial_accumulator_value": self.initial_accumulator_value, "epsilon": self.epsilon}
        return {**super().get_config(), **own}
