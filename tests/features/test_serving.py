"""Raw values in, the same numbers out: in Keras, after saving, in a pipeline, and in the exported graph."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_smes import SMES, build_ranker
from keras_smes.export import write_saved_model
from keras_smes.export.audit import audit
from keras_smes.features.encoder import NUMBERS, encode, preprocessor, raw_inputs
from keras_smes.features.schema import (
    FeatureSchema,
    HashedInteger,
    HashedString,
    IntegerCategory,
    Number,
    Sequence,
    StringCategory,
    Tags,
)

pytestmark = pytest.mark.tensorflow

SCHEMA = FeatureSchema(
    (
        IntegerCategory("user_id", dim=4, side="user"),
        HashedInteger("author", dim=4, num_bins=11),
        StringCategory("sex", dim=2, side="user"),
        HashedString("city", dim=2, num_bins=11),
        Number("age", side="user"),
        Number("fans", log=True),
        Number("seconds", buckets=2, dim=3),
        IntegerCategory("video_id", dim=4, table="videos"),
        Tags("genres", dim=3, items="string", max_length=2),
        Tags("words", dim=2, items="string", num_bins=9, max_length=3, pooling="sum"),
        Sequence("recent", dim=4, num_bins=9, max_length=2),
        Sequence(
            "history",
            dim=4,
            max_length=3,
            pooling="attention",
            target="video_id",
            table="videos",
            side="user",
        ),
    )
)
LARGE = 2**62 + 1
TRAINING = {
    "user_id": [7, LARGE, 7, -1],
    "author": [1, 2, 3, LARGE],
    "sex": ["f", "m", "", "m"],
    "city": ["Oslo", "Lima", "", "Oslo"],
    "age": [20.0, 30.0, None, 40.0],
    "fans": [0.0, 9.0, 99.0, np.inf],
    "seconds": [10.0, 20.0, 30.0, np.nan],
    "video_id": [100, 200, 100, 300],
    "genres": [["a", "b", "c"], ["b"], None, []],
    "words": [["x"], ["y", "z"], [], ["x", "x", "x"]],
    "recent": [[1, 2, 3], [LARGE], [], [2, 1]],
    "history": [[400, 300, 200, 100], [500], [], [-1, 400]],
}


@pytest.fixture(scope="module")
def fitted():
    return SCHEMA.fit(TRAINING)


@pytest.fixture(scope="module")
def rows(fitted):
    """A request: rows that were seen, then one of which nothing was, or which lacks what can be missing."""
    strange = {
        "user_id": -5,
        "author": -(2**63),
        "sex": "?",
        "city": "?",
        "age": np.nan,
        "fans": -np.inf,
        "seconds": np.inf,
        "video_id": 2**63 - 1,
        "genres": ["?", "a"],
        "words": ["?"],
        "recent": [9],
        "history": [999, 100],
    }
    columns = {name: [*values, strange[name]] for name, values in TRAINING.items()}
    return {name: tf.constant(array) for name, array in fitted.prepare_columns(columns)[0].items()}


@pytest.fixture(scope="module")
def encoder(fitted):
    keras.utils.set_random_seed(1)
    inputs = raw_inputs(fitted)
    return keras.Model(inputs, {"h": encode(fitted, preprocessor(fitted)(inputs), (5,), crosses=1)})


def with_other_padding(rows):
    """The same rows as another client sends them: wider, and with other values beyond the lengths."""
    changed = dict(rows)
    for name in ("genres", "words", "recent", "history"):
        ids, lengths = rows[name].numpy(), rows[f"{name}_length"].numpy()
        ids = np.concatenate([ids, ids[:, :2]], axis=1)
        beyond = np.arange(ids.shape[1]) >= lengths[:, None]
        ids[beyond] = ids.flat[0]  # as TF Serving pads
        changed[name] = tf.constant(ids)
    return changed


def test_the_shared_vocabulary_comes_from_both_columns(fitted):
    # Of the first history, 400 is cut off; the last row has it too.
    assert fitted["video_id"].vocabulary == fitted["history"].vocabulary == (100, 200, 300, 400, 500)


def test_rows_of_tables_by_hand(fitted, rows):
    columns = {name: array.numpy().tolist() for name, array in preprocessor(fitted)(rows).items()}
    hashed = tf.strings.to_hash_bucket_fast
    assert columns["user_id"] == [1, 2, 1, 0, 0]
    assert columns["author"] == hashed(["1", "2", "3", str(LARGE), str(-(2**63))], 11).numpy().tolist()
    assert columns["sex"] == [1, 2, 0, 2, 0]
    assert columns["city"] == hashed(["Oslo", "Lima", "", "Oslo", "?"], 11).numpy().tolist()
    assert columns["seconds"] == [1, 2, 2, 0, 0]  # one boundary, the median 20
    assert columns["video_id"] == [1, 2, 1, 3, 0]
    assert columns["genres"] == [[1, 2], [2, 0], [0, 0], [0, 0], [0, 1]]
    assert columns["genres_length"] == [2, 1, 0, 0, 2]
    assert columns["recent"][0] == hashed(["2", "3"], 9).numpy().tolist()
    assert columns["history"] == [[3, 2, 1], [5, 0, 0], [0, 0, 0], [0, 4, 0], [0, 1, 0]]
    assert columns["history_length"] == [3, 1, 0, 2, 2]
    assert columns["words"][3] == hashed(["x", "x", "x"], 9).numpy().tolist()
    std = np.std([0.0, np.log(10), np.log(100)])
    np.testing.assert_allclose(
        np.array(columns[NUMBERS])[:, 0], np.array([-10, 0, 0, 10, 0]) / np.std([20, 30, 40]), atol=1e-6
    )
    np.testing.assert_allclose(
        np.array(columns[NUMBERS])[:, 1], np.array([-np.log(10), 0, np.log(10), 0, 0]) / std, atol=1e-6
    )


def test_padding_changes_not_a_bit(encoder, rows):
    np.testing.assert_array_equal(encoder(with_other_padding(rows))["h"], encoder(rows)["h"])


def test_lengths_are_clamped(encoder, rows):
    wild, tame = dict(rows), dict(rows)
    wild["history_length"], tame["history_length"] = (
        tf.constant([99, -9, 0, 2, 3]),
        tf.constant([3, 0, 0, 2, 3]),
    )
    np.testing.assert_array_equal(encoder(wild)["h"], encoder(tame)["h"])


def test_preprocessing_in_a_pipeline_is_the_same(fitted, rows):
    model = preprocessor(fitted)
    piped = next(iter(tf.data.Dataset.from_tensor_slices(rows).batch(5).map(model)))
    for name, column in model(rows).items():
        np.testing.assert_array_equal(piped[name], column)


def test_the_exported_graph_gives_the_same_numbers(encoder, fitted, rows, tmp_path):
    write_saved_model(encoder, tmp_path / "1", fitted, signatures=["serving_default"])
    serve = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    np.testing.assert_allclose(serve(**rows)["h"], encoder(rows)["h"], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(serve(**with_other_padding(rows))["h"], serve(**rows)["h"])
    single = {name: array[:1] for name, array in rows.items()}
    np.testing.assert_allclose(serve(**single)["h"], encoder(rows)["h"][:1], rtol=0, atol=1e-6)
    audit(tmp_path / "1")  # operations of stock TensorFlow Serving only


def test_a_ranker_with_all_kinds_survives_saving(fitted, rows, tmp_path):
    smes = SMES(2, num_experts=4, num_shared=1, num_private=1, expert_units=(8, 4))
    ranker = build_ranker(fitted, ["click", "like"], smes)
    ranker.save(tmp_path / "ranker.keras")
    loaded = keras.models.load_model(tmp_path / "ranker.keras")
    for task, score in ranker(rows).items():
        assert score.shape == (5,)
        assert np.isfinite(score).all()
        np.testing.assert_array_equal(loaded(rows)[task], score)
