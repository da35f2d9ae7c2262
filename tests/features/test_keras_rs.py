"""Embeddings of keras-rs under our ranker: the same model, its tables kept by somebody else."""

import keras
import numpy as np
import pytest

from keras_smes import SMES, FeatureSchema, IntegerCategory, Tags
from keras_smes.features.encoder import preprocessed_inputs, preprocessor, raw_inputs

keras_rs = pytest.importorskip("keras_rs", reason='needs pip install -e ".[ranking]"')

COLUMNS = {
    "user_id": np.array([7, 7, 9, 4, 4, 8]),
    "topics": [[11], [12], [11, 12], [12, 13], [13], [11]],
}
SCHEMA = FeatureSchema(
    (IntegerCategory("user_id", dim=4), Tags("topics", dim=4, items="integer", max_length=2))
)


@pytest.fixture(scope="module")
def schema():
    return SCHEMA.fit(COLUMNS)


def looked_up(schema):
    return preprocessor(schema)(schema.prepare_columns(COLUMNS)[0])


def ranker_of(inputs, vectors):
    """SMES and two towers on the joined vectors."""
    smes = SMES(num_tasks=2, num_experts=8, num_shared=1, num_private=1, expert_units=(8, 4))
    mixed = smes(keras.layers.Concatenate()(vectors))
    towers = {name: keras.layers.Dense(1, activation="sigmoid", name=name) for name in ("click", "like")}
    return keras.Model(inputs, {name: tower(mixed[:, t]) for t, (name, tower) in enumerate(towers.items())})


def table_of(schema, name):
    (feature,) = [feature for feature in schema.features if feature.name == name]
    return feature.num_ids, feature.dim


def distributed(schema):
    """`DistributedEmbedding`: one layer for the tables of all features."""
    inputs = preprocessed_inputs(schema)
    rows, dim = table_of(schema, "user_id")
    table = keras_rs.layers.TableConfig("users", rows, dim, placement="default_device")
    config = keras_rs.layers.FeatureConfig("user_id", table, (None,), (None, dim))
    embedded = keras_rs.layers.DistributedEmbedding({"user_id": config})({"user_id": inputs["user_id"]})
    rows, dim = table_of(schema, "topics")
    pooled = keras_rs.layers.EmbedReduce(rows, dim, combiner="mean")(
        inputs["topics"], weights=keras.ops.cast(inputs["topics"] > 0, "float32")
    )
    return ranker_of(inputs, [embedded["user_id"], pooled])


def plain(schema):
    """The same with `keras.layers.Embedding` and the mean written out."""
    inputs = preprocessed_inputs(schema)
    user = keras.layers.Embedding(*table_of(schema, "user_id"))(inputs["user_id"])
    mask = keras.ops.cast(inputs["topics"] > 0, "float32")[:, :, None]
    topics = keras.layers.Embedding(*table_of(schema, "topics"))(inputs["topics"]) * mask
    mean = keras.ops.sum(topics, axis=1) / keras.ops.maximum(keras.ops.sum(mask, axis=1), 1.0)
    return ranker_of(inputs, [user, mean])


def copy(source, target):
    """By their shapes, which all differ but the towers': the layers stand in another order."""
    key = lambda weight: (tuple(weight.shape), "like" in weight.path)  # noqa: E731
    for found, wanted in zip(sorted(target.weights, key=key), sorted(source.weights, key=key), strict=True):
        found.assign(keras.ops.convert_to_numpy(wanted))  # JAX gives the array itself away in `fit`


def test_it_trains_as_plain_embeddings_do(schema):
    rows = looked_up(schema)
    labels = {"click": np.array([1, 0, 1, 0, 1, 0.0]), "like": np.array([0, 0, 1, 1, 0, 1.0])}
    models = [distributed(schema), plain(schema)]
    copy(models[1], models[0])
    for model in models:
        model.compile(keras.optimizers.Adam(0.05), loss="binary_crossentropy")
        model.fit(rows, labels, epochs=5, batch_size=3, shuffle=False, verbose=0)
    for task, expected in models[1].predict(rows, verbose=0).items():
        np.testing.assert_allclose(models[0].predict(rows, verbose=0)[task], expected, rtol=0, atol=1e-5)


def test_it_comes_back_from_a_file(schema, tmp_path):
    model, rows = distributed(schema), looked_up(schema)
    model.save(tmp_path / "ranker.keras")
    again = keras.models.load_model(tmp_path / "ranker.keras")
    for task, expected in model.predict(rows, verbose=0).items():
        np.testing.assert_array_equal(again.predict(rows, verbose=0)[task], expected)


@pytest.mark.tensorflow
def test_its_saved_model_takes_raw_values(schema, tmp_path):
    import tensorflow as tf

    raw = raw_inputs(schema)
    whole = keras.Model(raw, distributed(schema)(preprocessor(schema)(raw)))
    whole.export(tmp_path / "ranker", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "ranker"))
    rows = {name: tf.constant(values) for name, values in schema.prepare_columns(COLUMNS)[0].items()}
    for task, expected in whole(rows).items():
        np.testing.assert_allclose(served.serve(rows)[task], expected, rtol=0, atol=1e-6)
