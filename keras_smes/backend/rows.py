"""Writes rows into a tensor, inside a loop of a graph."""

import keras
from keras import ops

from keras_smes.backend.xla import is_compiled
from keras_smes.types import Tensor


def put_rows(tensor: Tensor, first: Tensor, rows: Tensor) -> Tensor:
    """Returns `tensor` with `rows [R, ...]`, cast to its dtype, from row `first` on."""
    rows = ops.cast(rows, tensor.dtype)
    if keras.backend.backend() == "tensorflow" and not is_compiled():
        import tensorflow as tf

        # Keras' `slice_update` is an XLA operation, which ONNX and servers without XLA lack.
        place_r1 = (first + tf.range(tf.shape(rows)[0]))[:, None]
        return tf.tensor_scatter_nd_update(tensor, place_r1, rows)
    return ops.slice_update(tensor, (first, *(0 for _ in tensor.shape[1:])), rows)
