"""What is trained: from preprocessed arrays to h, on both backends."""

import keras
import numpy as np
import pytest
from support.backends import TENSORFLOW, assert_close, compiled, evaluate, to_numpy, to_tensors

from keras_smes.features.encoder import NUMBERS, encode, preprocessed_inputs
from keras_smes.features.schema import (
    FeatureSchema,
    HashedInteger,
    IntegerCategory,
    Number,
    Sequence,
    StringCategory,
    Tags,
)

SCHEMA = FeatureSchema(
    (
        Sequence(
            "history",
            dim=3,
            vocabulary=(10, 11, 12, 13),
            max_length=4,
            pooling="attention",
            target="video_id",
            table="videos",
            side="user",
        ),
        Number("age", mean=30.0, std=10.0),
        IntegerCategory("video_id", dim=3, vocabulary=(10, 11, 12, 13), table="videos"),
        Number("seconds", buckets=(5.0, 60.0), dim=2),
        StringCategory("sex", dim=2, vocabulary=("f", "m"), side="user"),
        HashedInteger("author", dim=2, num_bins=7),
        Tags("genres", dim=2, items="string", vocabulary=("a", "b"), max_length=3),
        Tags("topics", dim=2, num_bins=5, max_length=2, pooling="sum"),
    )
)
COLUMNS = {
    "history": np.array([[1, 2, 0, 0], [4, 3, 2, 1], [0, 0, 0, 0]], np.int32),
    "history_length": np.array([2, 4, 0], np.int32),
    "video_id": np.array([3, 2, 0], np.int32),
    "seconds": np.array([0, 1, 3], np.int32),
    "sex": np.array([0, 1, 2], np.int32),
    "author": np.array([6, 0, 3], np.int32),
    "genres": np.array([[2, 1, 0], [1, 0, 0], [0, 0, 0]], np.int32),
    "genres_length": np.array([2, 1, 0], np.int32),
    "topics": np.array([[3, 4], [0, 0], [2, 0]], np.int32),
    "topics_length": np.array([2, 2, 1], np.int32),
    NUMBERS: np.array([[0.5], [-1.0], [0.0]], np.float32),
}


@pytest.fixture
def core():
    inputs = preprocessed_inputs(SCHEMA)
    return keras.Model(inputs, encode(SCHEMA, inputs, units=()))


def rows_of(core, table, ids):
    return np.asarray(core.get_layer(f"embed_{table}").get_weights()[0], np.float64)[ids]


def pooled(core, name, mode):
    """Sum or mean of the embeddings within the length, row by row."""
    vectors = []
    for ids, length in zip(COLUMNS[name], COLUMNS[f"{name}_length"], strict=True):
        total = sum((rows_of(core, name, i) for i in ids[:length]), np.zeros(2))
        vectors.append(total / max(length, 1) if mode == "mean" else total)
    return np.array(vectors)


def test_h_by_hand_in_the_schemas_order(core):
    attention = core.get_layer("pool_history")
    queries, items = (rows_of(core, "videos", COLUMNS[name]) for name in ("video_id", "history"))
    interest = evaluate(attention, *np.float32([queries]), *np.float32([items]), COLUMNS["history_length"])
    expected = [
        interest,
        queries,
        rows_of(core, "seconds", COLUMNS["seconds"]),
        rows_of(core, "sex", COLUMNS["sex"]),
        rows_of(core, "author", COLUMNS["author"]),
        pooled(core, "genres", "mean"),
        pooled(core, "topics", "sum"),
        COLUMNS[NUMBERS],
    ]
    assert_close(evaluate(core, COLUMNS), np.concatenate(expected, axis=1))


def test_tables_have_the_rows_of_their_values(core):
    shapes = {layer.name: layer.get_weights()[0].shape for layer in core.layers if "embed_" in layer.name}
    assert shapes == {
        "embed_videos": (5, 3),  # once, for the candidate and the history
        "embed_seconds": (4, 2),  # missing, and three buckets
        "embed_sex": (3, 2),
        "embed_author": (7, 2),
        "embed_genres": (3, 2),
        "embed_topics": (5, 2),
    }


def test_padding_changes_not_a_bit(core):
    garbage = {name: array.copy() for name, array in COLUMNS.items()}
    garbage["history"][0, 2:] = 4
    garbage["history"][2] = 3
    garbage["genres"][1:, 1:] = 2
    np.testing.assert_array_equal(evaluate(core, garbage), evaluate(core, COLUMNS))


def test_core_compiles_under_xla(core):
    assert_close(to_numpy(compiled(core)(to_tensors(COLUMNS))), evaluate(core, COLUMNS))


@pytest.mark.parametrize("units", [(), (4,)])
def test_crosses_come_between_features_and_mlp(units):
    pytest.importorskip("keras_rs")
    inputs = preprocessed_inputs(SCHEMA)
    model = keras.Model(inputs, encode(SCHEMA, inputs, units, crosses=2, cross_dim=3))
    joined = keras.Model(inputs, model.get_layer("features").output)
    h_bd = model.get_layer("crosses")(evaluate(joined, COLUMNS))
    if units:
        h_bd = model.get_layer("encoder_0")(h_bd)
    assert_close(evaluate(model, COLUMNS), to_numpy(h_bd))
    assert len(model.get_layer("crosses").weights) == 2 * 3  # two narrow matrices and a bias each


@pytest.mark.tensorflow
def test_a_shared_table_learns_from_both_features_by_rows(core):
    import tensorflow as tf

    table = core.get_layer("embed_videos").embeddings
    with tf.GradientTape() as tape:
        # Row 0 of the batch: candidate 3, history 1 and 2. Row 4 of the table is in other rows only.
        loss = tf.reduce_sum(core(COLUMNS)[0] ** 2)
    gradient = tape.gradient(loss, table.value)
    assert isinstance(gradient, tf.IndexedSlices)
    touched = np.abs(tf.convert_to_tensor(gradient)).max(axis=1) > 0
    assert touched.tolist() == [False, True, True, True, False]


def test_optimizers_find_the_tables_by_their_path(core):
    tables = [variable.path for variable in core.trainable_variables if "embed_" in variable.path]
    assert len(tables) == 6
    assert all(path.rpartition("/")[2] == "embeddings" for path in tables)


def test_it_trains(core):
    model = keras.Sequential([core, keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=not TENSORFLOW)
    before = core.get_layer("embed_videos").get_weights()[0]
    model.fit(COLUMNS, np.ones((3, 1)), verbose=0)
    assert (core.get_layer("embed_videos").get_weights()[0] != before).any()


def test_mixed_precision_reaches_h():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = preprocessed_inputs(SCHEMA)
        model = keras.Model(inputs, encode(SCHEMA, inputs, units=(4,)))
        assert evaluate(model, COLUMNS).dtype.name == "bfloat16"
        assert model.get_layer("embed_videos").embeddings.dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")
