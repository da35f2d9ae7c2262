"""Pooling of a row's embeddings: their mean or sum within the length."""

from typing import Any

import keras
from keras import ops

from keras_smes.types import Shape, Tensor
from keras_smes.validation import check_one_of


def valid_positions(lengths_b: Tensor, max_length: Any) -> Tensor:
    """Returns the bool mask `[B, max_length]` of the positions within each row's length."""
    positions_l = ops.arange(max_length, dtype="int32")
    return positions_l[None, :] < ops.cast(lengths_b, "int32")[:, None]


@keras.saving.register_keras_serializable(package="keras_smes")
class MaskedPooling(keras.layers.Layer):
    """Pools the first n of L vectors: `sum_{l < n} e[l]`, for the mean divided by `max(n, 1)`.

    A row without values gets zeros. Positions beyond the length are ignored, even NaN.

    Args:
        mode: `"mean"` or `"sum"`. Defaults to `"mean"`.

    Call arguments:
        inputs: `[B, L, D]` floats.
        lengths: `[B]` integers; a negative one counts as 0, one above L as L.

    Returns:
        `[B, D]` floats.

    Example:

    >>> vectors = np.array([[[1.0], [3.0], [99.0]]])
    >>> MaskedPooling()(vectors, np.array([2])).numpy()
    array([[2.]], dtype=float32)
    """

    def __init__(self, mode: str = "mean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_one_of("mode", mode, ("mean", "sum"))
        self.mode = mode

    def call(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        valid_bl = valid_positions(lengths, ops.shape(inputs)[1])
        total_bd = ops.sum(ops.where(valid_bl[..., None], inputs, 0.0), axis=1)
        if self.mode == "sum":
            return total_bd
        counts_b = ops.maximum(ops.sum(ops.cast(valid_bl, "int32"), axis=1), 1)
        return total_bd / ops.cast(counts_b, total_bd.dtype)[:, None]

    def compute_output_shape(self, inputs_shape: Shape, lengths_shape: Shape) -> tuple[int | None, ...]:
        return (inputs_shape[0], inputs_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mode": self.mode}
