"""Models that `build_ranker` did not make export with the signatures that they can have."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_smes import SMES
from keras_smes.export import export_version

pytestmark = pytest.mark.tensorflow


def numbers(width):
    return np.random.default_rng(width).normal(size=(5, width)).astype("float32")


def towers(y):
    return [keras.layers.Dense(1, activation="sigmoid", name=n)(y[:, t]) for t, n in enumerate(("a", "b"))]


def of_lists():
    wide, ids = keras.Input((3,), name="wide"), keras.Input((1,), dtype="int32", name="ids")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(10, 4)(ids))
    y = SMES(2, 8, 1, 1, 4)(keras.layers.Concatenate()([wide, embedded]))
    rows = {"wide": numbers(3), "ids": np.arange(5, dtype="int32")[:, None]}
    return keras.Model([wide, ids], towers(y)), rows


def of_dicts():
    h = keras.Input((12,), name="h")
    rows = {"h": numbers(12)}
    return keras.Model({"h": h}, dict(zip("ab", towers(SMES(2, 8, 1, 1, 4)(h)), strict=True))), rows


def of_one_tensor():
    x = keras.Input((1,), name="x")
    model = keras.Model(x, keras.layers.Dense(1, activation="sigmoid", name="a")(x))
    return model, {"x": numbers(1)}


def of_strings():
    city = keras.Input((1,), dtype="string", name="city")
    embedded = keras.layers.Embedding(5, 4)(keras.layers.StringLookup(vocabulary=["Oslo", "Lima"])(city))
    model = keras.Model({"city": city}, {"a": keras.layers.Dense(1)(keras.layers.Flatten()(embedded))})
    return model, {"city": np.array([["Oslo"], ["Rome"], ["Lima"], [""], ["Oslo"]], object)}


def sequential():
    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(3, name="a")])
    return model, {"x": numbers(4)}


def of_open_length():
    seen = keras.Input((None,), dtype="int64", name="seen")
    pooled = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(5, 4)(seen))
    return keras.Model({"seen": seen}, {"a": keras.layers.Dense(1)(pooled)}), {"seen": np.ones((5, 7), int)}


ALWAYS = {"serving_default", "rank"}
SINGLE = {"classify", "regress_a"}
MODELS = {
    of_lists: ALWAYS | SINGLE | {"regress_b", "routing"},
    of_dicts: ALWAYS | SINGLE | {"regress_b", "routing"},
    of_one_tensor: ALWAYS | SINGLE,
    of_strings: ALWAYS | SINGLE,
    sequential: ALWAYS,  # three numbers per row are no class's score
    of_open_length: ALWAYS,  # an example has no padding
}


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_a_model_exports_with_the_signatures_that_it_can_have(make, tmp_path):
    model, rows = make()
    exported = export_version(model, tmp_path / "m", batch_sizes=(1, 3))
    assert set(exported.signatures) == MODELS[make]
    loaded = tf.saved_model.load(str(exported.folder)).signatures["serving_default"]
    served = loaded(**{name: tf.constant(values) for name, values in rows.items()})
    tensors = {name: tf.constant(values) for name, values in rows.items()}
    takes_dict = make in (of_dicts, of_strings, of_open_length)
    (first, *others) = tensors.values()
    expected = model(tensors if takes_dict else [first, *others] if others else first)
    if not isinstance(expected, dict):
        expected = dict(zip("ab", keras.tree.flatten(expected), strict=False))
    assert set(served) == set(expected)
    for name, values in served.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-6)


def test_examples_hold_rows_of_one_shape(tmp_path):
    model, rows = of_lists()
    folder = export_version(model, tmp_path / "m", batch_sizes=(1,)).folder
    examples = []
    for wide, ids in zip(rows["wide"], rows["ids"], strict=True):
        example = tf.train.Example()
        example.features.feature["wide"].float_list.value.extend(wide)
        example.features.feature["ids"].int64_list.value.extend(ids)
        examples.append(example.SerializeToString())
    loaded = tf.saved_model.load(str(folder)).signatures["regress_b"]
    expected = model.predict(list(rows.values()), verbose=0)[1][:, 0]
    np.testing.assert_allclose(loaded(inputs=tf.constant(examples))["outputs"], expected, rtol=1e-5)


def test_a_model_of_unknown_inputs_is_rejected(tmp_path):
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(
        ValueError,
        match=r"`ranker` must be a functional or .*sequential model.*Received: ranker=<Subclassed",
    ):
        export_version(Subclassed(), tmp_path / "m")


def test_outputs_of_one_name_are_rejected(tmp_path):
    x = keras.Input((4,), name="x")
    y = keras.layers.Dense(3)(x)
    with pytest.raises(ValueError, match=r"`ranker` must have outputs of different names"):
        export_version(keras.Model(x, [y, y]), tmp_path / "m")
