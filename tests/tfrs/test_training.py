"""Training in TFRS is training in Keras 3: values, gradients, losses, steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.tfrs_rankers import Ranker, batches, built, native, rows, smes

from keras_smes.tfrs import Keras3Layer


@pytest.fixture
def pair():
    """The same weights in both rankers."""
    ranker, model = built(), native()
    model.set_weights(ranker.get_weights())
    return ranker, model


def test_outputs_and_gradients_are_those_of_keras_3(pair):
    ranker, model = pair
    features, labels = rows()
    np.testing.assert_array_equal(ranker(features), model(features))
    with tf.GradientTape(persistent=True) as tape:
        loss = ranker.compute_loss((features, labels), training=True) + sum(ranker.losses)
        answers = model(features, training=True)
        expected = keras.ops.mean(keras.losses.binary_crossentropy(labels, answers)) + sum(model.losses)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    ours = tape.gradient(loss, ranker.trainable_variables)
    theirs = tape.gradient(expected, [v.value for v in model.trainable_variables])
    assert len(ours) == len(theirs) == 9
    for found, wanted in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_forty_steps_of_fit_are_those_of_keras_3(pair):
    ranker, model = pair
    history = ranker.fit(batches(), epochs=10, shuffle=False, verbose=0).history
    model.fit(*rows(), batch_size=64, epochs=10, shuffle=False, verbose=0)
    for found, wanted in zip(ranker.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)
    assert history["total_loss"][-1] < history["total_loss"][0]


def test_the_balance_loss_is_reported_and_evaluation_has_none(pair):
    ranker, model = pair
    model(rows()[0], training=True)
    (balance,) = model.losses
    ranker.compile(tf.keras.optimizers.SGD(0.0))
    history = ranker.fit(batches(256), verbose=0).history
    np.testing.assert_allclose(history["regularization_loss"], [float(balance)], rtol=1e-6)
    assert ranker.evaluate(batches(256), return_dict=True, verbose=0)["regularization_loss"] == 0


def test_a_regularizer_counts_once_however_often_a_layer_is_called():
    def dense():
        return keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.1))

    layer, inputs = Keras3Layer(dense()), tf.keras.Input((4,))
    model = tf.keras.Model(inputs, layer(layer(inputs)[:, :1] + inputs))
    expected = 0.1 * np.sum(np.square(layer.layer.kernel))
    for _ in range(2):
        model(np.ones((2, 4), "float32"))
        np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-6)


def test_a_loss_of_the_call_counts_for_each_call():
    layer, inputs = Keras3Layer(smes()), tf.keras.Input((12,))
    twice = tf.keras.Model(inputs, [layer(inputs), layer(-inputs)])
    twice(rows()[0], training=True)
    assert len(twice.losses) == 2


def assert_stays(ranker, variables):
    before = [variable.numpy().copy() for variable in variables]
    ranker.compile(tf.keras.optimizers.Adam(0.01))  # tf_keras takes note of what is frozen here
    ranker.fit(batches(), verbose=0)
    for variable, wanted in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, wanted)


def test_what_is_frozen_stays():
    ranker = built()
    ranker.smes.trainable = False
    assert len(ranker.trainable_variables) == 4
    assert len(ranker.non_trainable_variables) == 5
    assert_stays(ranker, ranker.smes.layer.variables)
    ranker.trainable = False
    ranker.trainable = True
    assert len(ranker.trainable_variables) == 9


def test_a_part_of_a_layer_that_is_frozen_stays():
    ranker = built()
    ranker.smes.layer.router.trainable = False
    assert len(ranker.trainable_variables) == 8
    assert_stays(ranker, ranker.smes.layer.router.variables)


def test_state_that_calls_change_is_changed():
    normalization, dropout = keras.layers.BatchNormalization(), keras.layers.Dropout(0.5, seed=1)
    layer = Keras3Layer(keras.Sequential([normalization, dropout]))
    features = rows()[0] + 3
    call = tf.function(layer)
    first, second = call(features, training=True), call(features, training=True)
    assert np.abs(first - second).max() > 0  # the seed has moved
    assert normalization.moving_mean.numpy().mean() > 0.02
    layer.trainable = False
    np.testing.assert_array_equal(
        normalization(features, training=True), normalization(features, training=False)
    )


def test_metrics_of_the_task_are_reported():
    ranker = built(metrics=[tf.keras.metrics.AUC(name="auc")])
    ranker.fit(batches(), epochs=3, verbose=0)
    assert ranker.evaluate(batches(), return_dict=True, verbose=0)["auc"] > 0.7


def test_a_layer_keeps_its_own_dtype_policy():
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        features = tf.keras.layers.Dense(12)(rows()[0])
        assert features.dtype == tf.bfloat16
        assert Keras3Layer(smes())(features).dtype == tf.float32
        assert Keras3Layer(smes(dtype="mixed_bfloat16"))(features).dtype == tf.bfloat16
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")


def mean_over_replicas(y_true, y_pred, sample_weight=None):
    """The loss of a batch of 64 that is split: replicas' gradients are added."""
    return tf.reduce_sum(tf.keras.losses.binary_crossentropy(y_true, y_pred)) / 64


def test_replicas_train_as_one():
    """Two CPU devices, each with the same rows, whose balance is then that of the batch. TFRS adds up what
    the replicas' layers lose, so that each has half the weight."""

    def ranker(balance_weight):
        ranker = Ranker(smes(balance_weight=balance_weight), loss=mean_over_replicas)
        ranker.compile(tf.keras.optimizers.SGD(0.1))
        ranker(rows(4)[0])
        return ranker

    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        mirrored = ranker(1.0)
    single = ranker(2.0)
    single.set_weights(mirrored.get_weights())
    twice = batches(32).map(lambda *both: tf.nest.map_structure(lambda x: tf.concat([x, x], 0), both))
    for each in (mirrored, single):
        each.fit(twice, shuffle=False, verbose=0)
    for found, wanted in zip(mirrored.get_weights(), single.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)
