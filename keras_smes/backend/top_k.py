"""Top-k with ties to the lower index, on both backends."""

import keras
from keras import ops

from keras_smes.backend.xla import is_compiled
from keras_smes.types import Tensor


def top_k(scores: Tensor, k: int) -> Tensor:
    """Returns indices of the `k` highest scores on the last axis, int32, best first."""
    if k == 2 and keras.backend.backend() == "tensorflow" and not is_compiled():
        return _top_two(scores)
    return ops.cast(ops.top_k(scores, k)[1], "int32")


def _top_two(scores: Tensor) -> Tensor:
    """Takes the maximum twice: for k > 1 TensorFlow uses a heap, which is four times as slow."""
    import tensorflow as tf

    rows_re = tf.reshape(scores, [-1, scores.shape[-1]])
    first_r = tf.math.top_k(rows_re, 1)[1][:, 0]
    place_r2 = tf.stack([tf.range(tf.shape(first_r)[0]), first_r], axis=1)
    lowest_r = tf.fill(tf.shape(first_r), tf.constant(-float("inf"), rows_re.dtype))
    others_re = tf.tensor_scatter_nd_update(rows_re, place_r2, lowest_r)
    second_r = tf.math.top_k(others_re, 1)[1][:, 0]
    # If all others are -inf too, the first index was found again.
    second_r = tf.where(tf.equal(second_r, first_r), tf.cast(tf.equal(first_r, 0), tf.int32), second_r)
    return tf.reshape(tf.stack([first_r, second_r], axis=1), tf.concat([tf.shape(scores)[:-1], [2]], axis=0))
