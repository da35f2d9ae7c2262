import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_smes.features.encoder import NUMBERS, encode, preprocessed_inputs, preprocessor
from keras_smes.features.layers.standardize import Standardize
from keras_smes.features.schema import (
    FeatureSchema,
    HashedString,
    IntegerCategory,
    Number,
    StringCategory,
)

pytestmark = pytest.mark.tensorflow

SCHEMA = FeatureSchema(
    (
        IntegerCategory("user_id", dim=3, vocabulary=(7, 2**60)),
        StringCategory("sex", dim=2, vocabulary=("f", "m")),
        HashedString("city", dim=2, num_bins=11),
        Number("age", mean=30.0, std=10.0),
        Number("fans", log=True, mean=1.0, std=2.0),
    )
)
ROWS = {
    "user_id": tf.constant([7, 2**60, 2**60 + 1, -1], tf.int64),
    "sex": tf.constant(["f", "m", "x", ""]),
    "city": tf.constant(["Oslo", "Lima", "Oslo", ""]),
    "age": tf.constant([40.0, np.nan, np.inf, 30.0]),
    "fans": tf.constant([np.e**3 - 1, 0.0, -5.0, np.nan], tf.float32),
}


def test_preprocessing_by_hand():
    columns = preprocessor(SCHEMA)(ROWS)
    np.testing.assert_array_equal(columns["user_id"], [1, 2, 0, 0])  # 0: never seen, or missing
    np.testing.assert_array_equal(columns["sex"], [1, 2, 0, 0])
    city = columns["city"].numpy()
    assert city[0] == city[2]
    assert ((city >= 0) & (city < 11)).all()
    expected = [[1.0, 1.0], [0.0, -0.5], [0.0, -0.5], [0.0, 0.0]]
    np.testing.assert_allclose(columns[NUMBERS], expected, atol=1e-6)


def test_h_joins_embeddings_and_numbers():
    columns = preprocessor(SCHEMA)(ROWS)
    inputs = preprocessed_inputs(SCHEMA)
    model = keras.Model(inputs, encode(SCHEMA, inputs, units=()))
    h_bd = model(columns).numpy()
    assert h_bd.shape == (4, 3 + 2 + 2 + 2)
    table = model.get_layer("embed_user_id").embeddings.numpy()
    assert table.shape == (3, 3)
    np.testing.assert_array_equal(h_bd[:, :3], table[[1, 2, 0, 0]])
    np.testing.assert_array_equal(h_bd[:, -2:], columns[NUMBERS])


def test_preprocessor_survives_saving(tmp_path):
    model = preprocessor(SCHEMA)
    model.save(tmp_path / "preprocessor.keras")
    loaded = keras.models.load_model(tmp_path / "preprocessor.keras")
    for name, column in model(ROWS).items():
        np.testing.assert_array_equal(loaded(ROWS)[name], column)


def test_a_column_without_known_values_is_all_unknown():
    schema = FeatureSchema((IntegerCategory("a", vocabulary=()), StringCategory("b", vocabulary=())))
    columns = preprocessor(schema)({"a": tf.constant([5, 6]), "b": tf.constant(["x", "y"])})
    np.testing.assert_array_equal(columns["a"], [0, 0])
    np.testing.assert_array_equal(columns["b"], [0, 0])


def test_missing_numbers_pass_no_nan_to_gradients():
    layer = Standardize(log=[False, True], mean=[0.0, 0.0], std=[1.0, 1.0])
    inputs = tf.constant([[np.nan, -np.inf], [1.0, 2.0]])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(layer(inputs))
    np.testing.assert_allclose(tape.gradient(total, inputs), [[0.0, 0.0], [1.0, 1 / 3]], rtol=1e-6)


def test_an_unfitted_schema_is_refused_by_name():
    with pytest.raises(ValueError, match=r"unfitted=\['user_id'\]"):
        preprocessor(FeatureSchema((IntegerCategory("user_id"), HashedString("city"))))


def test_any_value_can_be_in_a_vocabulary():
    schema = FeatureSchema(
        (IntegerCategory("a", vocabulary=(-1, 0)), StringCategory("b", vocabulary=("[UNK]", "")))
    )
    columns = preprocessor(schema)({"a": tf.constant([-1, 0, 1]), "b": tf.constant(["[UNK]", "", "x"])})
    np.testing.assert_array_equal(columns["a"], [1, 2, 0])
    np.testing.assert_array_equal(columns["b"], [1, 2, 0])


def test_vocabularies_hold_strings_of_any_length_and_end(tmp_path):
    words = ("a", "a\0", "\0", "x" * 2_000_000, *map(str, range(20_000)))
    model = preprocessor(FeatureSchema((StringCategory("word", vocabulary=words),)))
    model.save(tmp_path / "preprocessor.keras")
    asked = {"word": tf.constant(np.array([*words[:5], "a\0\0"], object))}
    for lookup in (model, keras.models.load_model(tmp_path / "preprocessor.keras")):
        np.testing.assert_array_equal(lookup(asked)["word"], [1, 2, 3, 4, 5, 0])
