"""Crops and pads rows of any width to the model's width."""

from typing import Any

import keras
from keras import ops

from keras_smes.features.layers.pooling import valid_positions
from keras_smes.types import Shape, Tensor
from keras_smes.validation import check_count, check_one_of


@keras.saving.register_keras_serializable(package="keras_smes")
class FitLength(keras.layers.Layer):
    """Crops or pads rows of ids `[B, L]` to `[B, max_length]`, and sets positions beyond the length to 0.

    A request may pad its rows to any L with any value: TensorFlow Serving pads with the first value.
    A negative length counts as 0, one above L as L.

    Args:
        max_length: Maximum number of ids per row.
        keep: `"first"` or `"last"`: which ids of a longer row to keep, in their order. Defaults to
            `"last"`.

    Call arguments:
        inputs: `[B, L]` integers, each row's ids from the left.
        lengths: `[B]` integers, number of ids per row.

    Returns:
        Dict of `"ids"` `[B, max_length]` int32, 0 beyond the length, and `"lengths"` `[B]` int32, the
        new lengths.

    Example:

    >>> fitted = FitLength(2)(np.array([[7, 8, 9], [5, 6, 6]]), np.array([3, 1]))
    >>> fitted["ids"].numpy().tolist(), fitted["lengths"].numpy().tolist()
    ([[8, 9], [5, 0]], [2, 1])
    """

    def __init__(self, max_length: int, keep: str = "last", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = check_count("max_length", max_length)
        check_one_of("keep", keep, ("first", "last"))
        self.keep = keep

    def call(self, inputs: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        ids_bl, lengths_b = ops.cast(inputs, "int32"), ops.cast(lengths, "int32")
        lengths_b = ops.clip(lengths_b, 0, ops.shape(ids_bl)[1])
        kept_b = ops.minimum(lengths_b, self.max_length)
        # Allows reading max_length ids from any start.
        ids_bl = ops.pad(ids_bl, [[0, 0], [0, self.max_length]])
        starts_b = lengths_b - kept_b if self.keep == "last" else ops.zeros_like(lengths_b)
        positions_bm = starts_b[:, None] + ops.arange(self.max_length, dtype="int32")
        kept_bm = ops.take_along_axis(ids_bl, positions_bm, axis=1)
        ids_bm = ops.where(valid_positions(kept_b, self.max_length), kept_bm, 0)
        return {"ids": ids_bm, "lengths": kept_b}

    def compute_output_shape(self, inputs_shape: Shape, lengths_shape: Shape) -> dict[str, Any]:
        return {"ids": (inputs_shape[0], self.max_length), "lengths": tuple(lengths_shape)}

    def compute_output_spec(self, inputs: Tensor, lengths: Tensor) -> dict[str, keras.KerasTensor]:
        shapes = self.compute_output_shape(inputs.shape, lengths.shape)
        return {name: keras.KerasTensor(shape, dtype="int32") for name, shape in shapes.items()}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_length": self.max_length, "keep": self.keep}
