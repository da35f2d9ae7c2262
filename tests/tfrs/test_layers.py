"""What of ours goes into a model of tf_keras, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.tfrs_rankers import rows, smes

from keras_smes import ExpertPool, GlobalBalanceRegularizer, PrivateExpertGate, SharedSubsetRouter
from keras_smes.baselines import MMoE
from keras_smes.tfrs import Keras3Layer


def test_without_it_tf_keras_drops_variables_silently_or_rejects_the_layer():
    """Why there is an adapter. Should this fail one day, it may not be needed any more."""
    inputs = tf.keras.Input((12,))
    dense = MMoE(num_tasks=2, num_experts=4, expert_units=(8,))
    assert tf.keras.Model(inputs, dense(inputs)).weights == []
    assert len(tf.keras.Model(inputs, Keras3Layer(dense)(inputs)).weights) == len(dense.weights) == 3
    with pytest.raises(TypeError, match="intermediate TF-Keras symbolic"):
        smes(execution="dense")(inputs)
    wrapped = tf.keras.Model(inputs, Keras3Layer(smes())(inputs))
    assert len(wrapped.weights) == 5


def test_the_four_layers_one_by_one_are_the_block():
    block = smes()
    features = rows()[0]
    expected = block(features, training=True)
    parts = [
        SharedSubsetRouter(2, 16, num_shared=2),
        PrivateExpertGate(1),
        GlobalBalanceRegularizer(0.1),
        ExpertPool(16, (16, 8)),
    ]
    router, gate, balance, experts = (Keras3Layer(part) for part in parts)
    inputs = tf.keras.Input((12,))
    model = tf.keras.Model(inputs, experts(inputs, balance(gate(router(inputs)))))
    model.set_weights(block.get_weights())
    np.testing.assert_array_equal(model(features, training=True), expected)
    np.testing.assert_allclose(sum(model.losses), sum(block.losses), rtol=1e-6)


def test_a_baseline_and_a_whole_keras_3_model():
    inputs = keras.Input((12,))
    outputs = MMoE(num_tasks=2, num_experts=4, expert_units=(8,))(keras.layers.Dense(6)(inputs))
    model = keras.Model(inputs, {"click": outputs[:, 0], "like": outputs[:, 1]})
    features = rows()[0]
    wrapped = Keras3Layer(model)
    for task, expected in model(features).items():
        np.testing.assert_array_equal(wrapped(features)[task], expected)
    assert len(wrapped.trainable_weights) == len(model.trainable_weights) > 0


def test_rows_that_pad_a_batch_stay_out_of_the_balance_loss():
    features, mask = rows(8)[0], np.arange(8) < 5
    layer = Keras3Layer(smes())
    layer(features[:5], training=True)
    (expected,) = layer.losses
    layer = Keras3Layer(layer.layer)
    outputs = layer(features, mask=tf.constant(mask), training=True)
    np.testing.assert_allclose(layer.losses[0], expected, rtol=1e-6)
    assert getattr(outputs, "_keras_mask", None) is None  # it would be taken for one of the tasks' axis


def test_a_mask_goes_only_where_it_is_taken():
    masked = tf.keras.layers.Masking()(np.ones((2, 3, 4), "float32"))
    assert Keras3Layer(keras.layers.Dense(2))(masked).shape == (2, 3, 2)


@pytest.mark.parametrize("wrong", ["smes", tf.keras.layers.Dense(3)])
def test_what_is_no_layer_of_keras_3_is_refused(wrong):
    with pytest.raises(ValueError, match=r"`layer` must be a Keras 3 layer. Received: layer="):
        Keras3Layer(wrong)
