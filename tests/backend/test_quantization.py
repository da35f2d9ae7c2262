"""A quantized model comes back from its file as it was: parts of layers too."""

import importlib.util

import keras
import numpy as np
import pytest

from keras_smes import SMES, FeatureSchema, IntegerCategory, Number, Sequence, build_ranker
from keras_smes.baselines import HoME
from keras_smes.features.layers.attention import TargetAttention
from keras_smes.features.layers.crosses import CrossNetwork
from keras_smes.layers import TaskTower

needs_keras_rs = pytest.mark.skipif(importlib.util.find_spec("keras_rs") is None, reason="needs keras-rs")
ROWS = np.random.default_rng(0).normal(size=(6, 8)).astype("float32")


def tower():
    h = keras.Input((8,))
    return keras.Model(h, TaskTower((4, 3), width=2)(h))


def attention():
    h = keras.Input((8,))
    items = keras.layers.Reshape((2, 4))(h)
    return keras.Model(h, TargetAttention((4,))(h[:, :4], items, h[:, 0] * 0 + 2))


def crosses():
    h = keras.Input((8,))
    return keras.Model(h, CrossNetwork(2, projection_dim=3)(h))


def home():
    h = keras.Input((8,))
    return keras.Model(h, HoME(2, [[0], [1]], (8, 4))(h))


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
@pytest.mark.parametrize(
    "make", [tower, attention, pytest.param(crosses, marks=needs_keras_rs), home], ids=lambda f: f.__name__
)
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize")
def test_a_quantized_layer_comes_back_from_its_file(make, mode, tmp_path):
    model = make()
    exact = model.predict(ROWS, verbose=0)
    model.quantize(mode)
    quantized = model.predict(ROWS, verbose=0)
    assert np.any(quantized != exact)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [w.dtype for w in loaded.weights] == [w.dtype for w in model.weights]
    np.testing.assert_array_equal(loaded.predict(ROWS, verbose=0), quantized)
    loaded.save(tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    np.testing.assert_array_equal(again.predict(ROWS, verbose=0), quantized)


def test_a_layer_that_is_not_quantized_says_nothing_of_it():
    assert "quantized" not in tower().layers[-1].get_config()


@pytest.mark.tensorflow
@pytest.mark.parametrize("mode", ["int8", "float8"])
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize", "ignore:Invalid quantization mode")
def test_a_quantized_ranker_comes_back_from_its_file(mode, tmp_path):
    features = (
        IntegerCategory("video", dim=4, vocabulary=(1, 2, 3), table="videos"),
        Sequence("seen", 4, vocabulary=(1, 2, 3), table="videos", pooling="attention", target="video"),
        Number("age", mean=30.0, std=10.0),
    )
    schema = FeatureSchema(features)
    columns = {"video": [1, 2, 9], "seen": [[1, 2], [], [3]], "age": [20.0, 30.0, 50.0]}
    rows, _ = schema.prepare_columns(columns)
    ranker = build_ranker(schema, ["click", "like"], SMES(2, 8, 1, 1, 4), encoder_units=(8,))
    ranker.quantize(mode)
    scores = ranker.predict(rows, verbose=0)
    ranker.save(tmp_path / "ranker.keras")
    loaded = keras.models.load_model(tmp_path / "ranker.keras").predict(rows, verbose=0)
    for task, score in scores.items():
        np.testing.assert_array_equal(loaded[task], score)
