"""Bucketised numbers, the same in training and in the served graph."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_smes")
class Bucketize(keras.layers.Layer):
    """Maps a number to its bucket: `1 + (number of boundaries <= x)`, and 0 for a missing number.

    A missing number is NaN or an infinity. Numbers are compared in float32 under any dtype policy.

    Args:
        boundaries: Ascending list of floats.

    Call arguments:
        inputs: Floats of any shape.

    Returns:
        int32 of the same shape, in `[0, len(boundaries) + 1]`.

    Example:

    >>> Bucketize([10.0, 20.0])(np.array([3.0, 10.0, 99.0, np.nan])).numpy()
    array([1, 2, 3, 0], dtype=int32)
    """

    def __init__(self, boundaries: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.boundaries = list(boundaries)

    def call(self, inputs: Tensor) -> Tensor:
        inputs = ops.cast(inputs, "float32")
        known = ops.isfinite(inputs)
        buckets = 1 + ops.cast(ops.digitize(ops.where(known, inputs, 0.0), self.boundaries), "int32")
        return ops.where(known, buckets, 0)

    def compute_output_shape(self, inputs_shape: Shape) -> tuple[int | None, ...]:
        return tuple(inputs_shape)

    def compute_output_spec(self, inputs: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, dtype="int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "boundaries": self.boundaries}
