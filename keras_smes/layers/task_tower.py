"""The tower of one task: from its mixture of experts to its score."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.checks import check_counts
from keras_smes.layers.initializers import clone

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_smes")
class TaskTower(keras.layers.Layer):
    """An MLP that ends in one number an instance, float32 under any dtype policy.

    Args:
        units: Integer list, widths of the hidden layers; may be empty. Defaults to `(32,)`.
        activation: Activation of the hidden layers. Defaults to `"relu"`.
        output_activation: Activation of the score. Defaults to `"sigmoid"`, a probability.
        kernel_initializer: Initializer of the kernels. Defaults to `"glorot_uniform"`.

    Call arguments:
        inputs: `[B, D]` floats.

    Returns:
        `[B]` float32.

    Example:

    >>> TaskTower(units=(8,))(keras.random.normal((4, 16))).shape
    (4,)
    """

    def __init__(
        self,
        units: Sequence[int] = (32,),
        activation: Any = "relu",
        output_activation: Any = "sigmoid",
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = list(check_counts("units", units)) if units else []
        self.activation = keras.activations.get(activation)
        self.output_activation = keras.activations.get(output_activation)
        self.kernel_initializer = clone(kernel_initializer)
        self.hidden = [self._dense(width, self.dtype_policy) for width in self.units]
        self.score = self._dense(1, "float32")

    def _dense(self, width: int, dtype: Any) -> keras.layers.Layer:
        return keras.layers.Dense(width, kernel_initializer=clone(self.kernel_initializer), dtype=dtype)

    def build(self, input_shape: Sequence[int | None]) -> None:
        shape = tuple(input_shape)
        for dense in [*self.hidden, self.score]:
            dense.build(shape)
            shape = dense.compute_output_shape(shape)

    def call(self, inputs: Tensor) -> Tensor:
        rows_bd = inputs
        for dense in self.hidden:
            rows_bd = self.activation(dense(rows_bd))
        return ops.squeeze(self.output_activation(self.score(rows_bd)), axis=-1)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape[:-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "output_activation": keras.activations.serialize(self.output_activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
