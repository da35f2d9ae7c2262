"""The tower of a task: from its mixture of experts to its logits."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.backend.quantization import Composite
from keras_smes.layers.initializers import clone
from keras_smes.types import Shape, Tensor
from keras_smes.validation import check_count, check_counts


@keras.saving.register_keras_serializable(package="keras_smes")
class TaskTower(Composite):
    """An MLP whose outputs are a task's logits, float32 under any dtype policy.

    Args:
        units: Integer list, widths of the hidden layers; may be empty. Defaults to `(32,)`.
        width: Integer, number of outputs per instance. Defaults to `1`.
        activation: Activation of the hidden layers. Defaults to `"relu"`.
        kernel_initializer: Initializer of the kernels. Defaults to `"glorot_uniform"`.

    Call arguments:
        inputs: `[B, D]` floats.

    Returns:
        float32 `[B]` if `width` is 1, else `[B, width]`.

    Example:

    >>> TaskTower(units=(8,))(keras.random.normal((4, 16))).shape
    (4,)
    """

    def __init__(
        self,
        units: Sequence[int] = (32,),
        width: int = 1,
        activation: Any = "relu",
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = list(check_counts("units", units)) if units else []
        self.width = check_count("width", width)
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = clone(kernel_initializer)
        self.hidden = [self._dense(width, self.dtype_policy) for width in self.units]
        self.logits = self._dense(self.width, "float32")

    def _dense(self, width: int, dtype: Any) -> keras.layers.Layer:
        return keras.layers.Dense(width, kernel_initializer=clone(self.kernel_initializer), dtype=dtype)

    def build(self, input_shape: Shape) -> None:
        shape = tuple(input_shape)
        for dense in [*self.hidden, self.logits]:
            dense.build(shape)
            shape = dense.compute_output_shape(shape)
        self.quantize_parts()

    def call(self, inputs: Tensor) -> Tensor:
        rows_bd = inputs
        for dense in self.hidden:
            rows_bd = self.activation(dense(rows_bd))
        logits = self.logits(rows_bd)
        return ops.squeeze(logits, axis=-1) if self.width == 1 else logits

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        rows = tuple(input_shape[:-1])
        return rows if self.width == 1 else (*rows, self.width)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "width": self.width,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
