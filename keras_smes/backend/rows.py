"""Reads values of a tensor by their places, and writes rows into one, as fast as each backend can."""

import keras
from keras import ops

from keras_smes.backend.xla import is_compiled
from keras_smes.types import Tensor


def place_dtype() -> str:
    """Returns the dtype of places in a tensor: int64 on TensorFlow, int32 on JAX, whose default it is."""
    return "int64" if keras.backend.backend() == "tensorflow" else "int32"


def take_values(flat: Tensor, places: Tensor) -> Tensor:
    """Returns the values of a vector at places of any shape, none of them negative."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(flat, places)  # Keras' `take` handles negative indices first
    # JAX returns shape `[0]` for an empty batch.
    return ops.reshape(ops.take(flat, places, axis=0), ops.shape(places))


def put_rows(tensor: Tensor, first: Tensor, rows: Tensor) -> Tensor:
    """Returns `tensor` with `rows [R, ...]`, cast to its dtype, from row `first` on."""
    rows = ops.cast(rows, tensor.dtype)
    if keras.backend.backend() == "tensorflow" and not is_compiled():
        import tensorflow as tf

        # Keras' `slice_update` is an XLA operation, which ONNX and servers without XLA lack.
        place_r1 = (first + tf.range(tf.shape(rows)[0]))[:, None]
        return tf.tensor_scatter_nd_update(tensor, place_r1, rows)
    return ops.slice_update(tensor, (first, *(0 for _ in tensor.shape[1:])), rows)
