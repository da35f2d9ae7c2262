"""Batch normalisation against its formula in NumPy, with rows that don't count."""

import keras
import numpy as np
from support.backends import assert_close, to_numpy, to_tensors

from keras_smes.layers.batch_normalization import GlobalBatchNormalization
from keras_smes.layers.masks import counting

X = np.array([[1.0, -2.0], [3.0, 0.0], [5.0, 2.0], [70.0, -90.0]], np.float32)
COUNTED = np.array([True, True, True, False])
MEAN, VARIANCE = np.array([3.0, 0.0]), np.array([8 / 3, 8 / 3])  # of the three rows that count


def trained_once(**call):
    layer = GlobalBatchNormalization()
    layer.build((None, 2))
    layer.gamma.assign([2.0, 1.0])
    layer.beta.assign([0.5, -1.0])
    return layer, to_numpy(layer(to_tensors(X), training=True, **call))


def expected(mean, variance):
    return np.array([2.0, 1.0]) * (X - mean) / np.sqrt(variance + 1e-3) + np.array([0.5, -1.0])


def test_rows_that_pad_a_batch_do_not_enter_the_statistics():
    layer, outputs = trained_once(mask=to_tensors(COUNTED))
    assert_close(outputs, expected(MEAN, VARIANCE))
    assert_close(layer.moving_mean, 0.01 * MEAN)
    assert_close(layer.moving_variance, 0.99 + 0.01 * VARIANCE)


def test_rows_that_count_for_no_task_do_not_either():
    with counting(keras.ops.convert_to_tensor(COUNTED)):
        _, outputs = trained_once()
    assert_close(outputs, expected(MEAN, VARIANCE))


def test_outside_training_the_moving_averages_normalise():
    layer, _ = trained_once(mask=to_tensors(COUNTED))
    outputs = to_numpy(layer(to_tensors(X)))
    assert_close(outputs, expected(0.01 * MEAN, 0.99 + 0.01 * VARIANCE))
