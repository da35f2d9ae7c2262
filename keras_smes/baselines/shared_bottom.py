"""Shared bottom: one MLP for all tasks."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.baselines.task_mixture import TaskMixture
from keras_smes.layers.expert_pool import every_expert
from keras_smes.types import Shape, Tensor
from keras_smes.validation import check_rank


@keras.saving.register_keras_serializable(package="keras_smes")
class SharedBottom(TaskMixture):
    """One expert for all tasks, without gates or task-specific parts before the towers.

    ```
    y[b,t,:] = f(h[b])        the same for every t
    ```

    Args:
        num_tasks: Integer, tasks T.
        expert_units: Integer, or list of them: widths of the bottom's layers.
        expert_activation: Activation after every layer but the last. Defaults to `"relu"`.
        output_activation: Activation after the last layer. Defaults to `None`, linear.
        kernel_initializer: Initializer of the kernels. Defaults to `"glorot_uniform"`.

    Call arguments:
        inputs: `[B, D]` floats, the encoded instances h.

    Returns:
        `[B, T, expert_units[-1]]` in the compute dtype.

    Example:

    >>> SharedBottom(num_tasks=3, expert_units=(32, 8))(keras.random.normal((4, 20))).shape
    (4, 3, 8)

    References:
        - [Caruana, Machine Learning 28, 1997](https://doi.org/10.1023/A:1007379606734)
    """

    def __init__(
        self,
        num_tasks: int,
        expert_units: int | Sequence[int],
        expert_activation: Any = "relu",
        output_activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_tasks, expert_units, expert_activation, output_activation, kernel_initializer, **kwargs
        )
        self.bottom = self._pool(1, "bottom", self.kernel_initializer)

    def build(self, input_shape: Shape) -> None:
        check_rank("inputs", input_shape, "[batch, width]")
        self.bottom.build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        weights_b11 = ops.ones_like(inputs[:, :1, None], dtype="float32")
        return ops.repeat(self.bottom(inputs, every_expert(weights_b11)), self.num_tasks, axis=1)
