"""What is saved is all there is, once, and comes back."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.tfrs_rankers import Ranker, batches, built, native, rows, smes

from keras_smes.tfrs import Keras3Layer


@pytest.fixture
def trained():
    ranker = built()
    ranker.fit(batches(), verbose=0)
    return ranker


def test_a_checkpoint_has_each_variable_once(trained, tmp_path):
    path = tf.train.Checkpoint(model=trained).write(str(tmp_path / "checkpoint"))
    shapes = [tuple(shape) for name, shape in tf.train.list_variables(path) if "/smes/" in name]
    assert sorted(shapes) == sorted(tuple(variable.shape) for variable in trained.smes.layer.weights)


@pytest.mark.parametrize("is_built", [True, False])
def test_training_goes_on_from_a_checkpoint(trained, tmp_path, is_built):
    """Restored before or after its weights are made; the optimizer's state with it."""
    path = tf.train.Checkpoint(model=trained).write(str(tmp_path / "checkpoint"))
    again = Ranker()
    again.compile(tf.keras.optimizers.Adam(0.01))
    if is_built:
        again(rows(4)[0])
    tf.train.Checkpoint(model=again).restore(path)
    for ranker in (trained, again):
        ranker.fit(batches(), shuffle=False, verbose=0)
    for found, wanted in zip(again.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ["weights.h5", "ranker.weights.h5", "checkpoint"])
def test_weights_round_trip(trained, tmp_path, name):
    trained.save_weights(tmp_path / name)
    again = built()
    again.load_weights(tmp_path / name)
    np.testing.assert_array_equal(again(rows()[0]), trained(rows()[0]))


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "saved_model"])
def test_functional_models_round_trip(tmp_path, name):
    inputs = tf.keras.Input((12,))
    mixed = Keras3Layer(smes())(tf.keras.layers.Dense(12)(inputs))
    dropped = Keras3Layer(keras.layers.Dropout(0.5))(mixed)
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(1)(dropped))
    model.compile("adam", "mse")
    model.fit(*rows(), verbose=0)
    model.save(tmp_path / name)
    again = tf.keras.models.load_model(tmp_path / name)
    features = rows()[0]
    np.testing.assert_array_equal(again(features), model(features))
    assert len(again.trainable_weights) == len(model.trainable_weights)
    again(features, training=True)
    assert len(again.losses) == 1  # the balance loss


def test_a_saved_model_is_that_of_keras_3_and_needs_no_package(trained, tmp_path):
    features = rows()[0]
    model = native()
    model.set_weights(trained.get_weights())
    tf.saved_model.save(trained, str(tmp_path / "ranker"))
    np.save(tmp_path / "features.npy", features)
    code = f"""
import sys, numpy as np, tensorflow as tf
features = np.load({str(tmp_path / "features.npy")!r})
ranker = tf.saved_model.load({str(tmp_path / "ranker")!r})
assert len(ranker.variables) == 9
scores = ranker.signatures["serving_default"](tf.constant(features))["output_1"]
np.save({str(tmp_path / "scores.npy")!r}, scores)
assert not {{"keras_smes", "tf_keras", "tensorflow_recommenders"}} & set(sys.modules)
"""
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), model(features), rtol=0, atol=1e-6)


def test_weights_go_over_to_keras_3_by_its_own_file(trained, tmp_path):
    """The layer inside is a Keras 3 layer: what was trained in TFRS need not stay there."""
    model = keras.Sequential([keras.Input((12,)), trained.smes.layer])
    model.save(tmp_path / "smes.keras")
    again = keras.models.load_model(tmp_path / "smes.keras")
    np.testing.assert_array_equal(again(rows()[0]), trained.smes(rows()[0]))
