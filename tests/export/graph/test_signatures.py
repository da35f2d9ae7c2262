import json
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_smes import SMES
from keras_smes.export import export_version, write_saved_model
from keras_smes.export.graph.signature_defs import read_signatures
from keras_smes.export.graph.signatures import argument_names
from keras_smes.features.schema import (
    FeatureSchema,
    HashedString,
    IntegerCategory,
    Number,
    StringCategory,
    Tags,
)
from keras_smes.ranker import build_ranker

pytestmark = pytest.mark.tensorflow

SCHEMA = FeatureSchema(
    (
        IntegerCategory("user_id", vocabulary=(7, 2**60)),
        StringCategory("sex", vocabulary=("f", "m")),
        HashedString("city", num_bins=11),
        Number("age", mean=30.0, std=10.0),
    )
)
ROWS = {
    "user_id": [7, 2**60, 2**60 + 1, 5, 7],
    "sex": ["f", "m", "x", "", "f"],
    "city": ["Oslo", "Lima", "", "Oslo", "Rome"],
    "age": [40.0, 20.0, 33.0, 1e9, 0.0],
}

# What a process does that has never heard of keras_smes.
STRANGER = """
    import json, sys
    sys.modules["keras_smes"] = None  # importing it raises ImportError
    import tensorflow as tf
    rows = {name: tf.constant(values, tf.int64 if name == "user_id" else None)
            for name, values in json.loads(sys.argv[2]).items()}
    serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
    print(json.dumps({task: score.numpy().tolist() for task, score in serve(**rows).items()}))
"""


@pytest.fixture(scope="module")
def ranker():
    keras.utils.set_random_seed(1)
    smes = SMES(3, num_experts=8, num_shared=2, num_private=[1, 0, 2], expert_units=(16, 8))
    return build_ranker(SCHEMA, ["click", "like", "follow"], smes)


@pytest.fixture(scope="module")
def saved_model(ranker, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "1"
    write_saved_model(ranker, folder)
    return folder


def test_a_process_without_the_package_gives_the_same_scores(ranker, saved_model):
    command = [sys.executable, "-c", textwrap.dedent(STRANGER), str(saved_model), json.dumps(ROWS)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    scores = json.loads(output.splitlines()[-1])
    expected = ranker({name: tf.constant(values) for name, values in _typed(ROWS).items()})
    assert sorted(scores) == ["click", "follow", "like"]
    for task, score in scores.items():
        np.testing.assert_allclose(score, expected[task], rtol=0, atol=1e-6)


def test_signature_is_named_typed_and_batch_first(saved_model):
    signature = tf.saved_model.load(str(saved_model)).signatures["serving_default"]
    inputs = {
        name: (spec.dtype, spec.shape.as_list())
        for name, spec in signature.structured_input_signature[1].items()
    }
    assert inputs == {
        "user_id": (tf.int64, [None]),
        "sex": (tf.string, [None]),
        "city": (tf.string, [None]),
        "age": (tf.float32, [None]),
    }
    for score in signature.structured_outputs.values():
        assert (score.dtype, score.shape.as_list()) == (tf.float32, [None])


def test_the_graph_holds_no_xla_and_no_python(saved_model):
    graph = tf.saved_model.load(str(saved_model)).signatures["serving_default"].graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    ops = {node.op for node in nodes}
    assert "MatMul" in ops
    assert not {op for op in ops if op.startswith("Xla") or "PyFunc" in op}


def test_mixed_precision_serves_float32(tmp_path):
    policy = keras.DTypePolicy("mixed_bfloat16")
    smes = SMES(1, num_experts=4, num_shared=1, num_private=1, expert_units=(8,), dtype=policy)
    ranker = build_ranker(SCHEMA, ["click"], smes)
    write_saved_model(ranker, tmp_path / "1")
    signature = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    served = signature(**{name: tf.constant(values) for name, values in _typed(ROWS).items()})["click"]
    assert served.dtype == tf.float32
    expected = ranker({name: tf.constant(values) for name, values in _typed(ROWS).items()})["click"]
    np.testing.assert_allclose(served, expected, atol=1e-5)


def test_features_are_named_after_their_layers_where_there_is_no_dict(tmp_path):
    inputs = keras.Input((3,), name="age")
    write_saved_model(keras.Model(inputs, keras.layers.Dense(1, name="click")(inputs)), tmp_path / "1")
    signature = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    assert list(signature.structured_input_signature[1]) == ["age"]
    assert list(signature.structured_outputs) == ["click"]


def _typed(rows):
    return {
        name: np.array(
            values, object if name in ("sex", "city") else np.int64 if name == "user_id" else np.float32
        )
        for name, values in rows.items()
    }


NAMES = ("class", "from", "self", "order", "None", "id", "ID", "x", "_x", "column_0", "inputs")


@pytest.fixture(scope="module")
def odd_names():
    keras.utils.set_random_seed(1)
    features = [IntegerCategory(name, vocabulary=(1, 2), dim=2) for name in NAMES]
    schema = FeatureSchema((*features, Tags("with", vocabulary=(1, 2), dim=2, default=(2,))))
    smes = SMES(2, num_experts=4, num_shared=1, num_private=1, expert_units=(4,))
    rows = {name: (np.arange(4) + place) % 4 for place, name in enumerate(NAMES)}
    rows, _ = schema.prepare_columns({**rows, "with": [[1], [2, 1], [], [3]]})
    return schema, build_ranker(schema, ["click", "class"], smes, encoder_units=(4,)), rows


def test_inputs_keep_names_that_python_has_no_arguments_of(odd_names, tmp_path):
    schema, ranker, rows = odd_names
    folder = export_version(ranker, tmp_path / "model", schema, batch_sizes=(3,)).folder
    signatures = read_signatures(folder)
    assert set(signatures["serving_default"].inputs) == set(signatures["rank"].inputs) == {*rows}
    expected = ranker({name: tf.constant(values) for name, values in rows.items()})
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        served = signatures["serving_default"]
        feeds = {served.inputs[name].name: values for name, values in rows.items()}
        fetches = {name: output.name for name, output in served.outputs.items()}
        scores = session.run(fetches, feeds)
    assert set(scores) == {"click", "class"}
    for task, score in scores.items():
        np.testing.assert_allclose(score, expected[task], rtol=0, atol=1e-6)


def test_a_reloaded_function_takes_the_names_too(odd_names, tmp_path):
    rows = odd_names[2]
    few = FeatureSchema(
        tuple(IntegerCategory(n, vocabulary=(1, 2), dim=2) for n in ("class", "from", "ID", "id"))
    )
    smes = SMES(1, num_experts=4, num_shared=1, num_private=1, expert_units=(4,))
    ranker = build_ranker(few, ["click"], smes, encoder_units=(4,))
    write_saved_model(ranker, tmp_path / "2", few)
    columns = {name: tf.constant(rows[name]) for name in few.names}
    served = tf.saved_model.load(str(tmp_path / "2")).signatures["serving_default"](**columns)
    np.testing.assert_allclose(served["click"], ranker(columns)["click"], rtol=0, atol=1e-6)


def test_only_impossible_arguments_have_another_name():
    assert argument_names(["user_id", "Age", "order"]) == {}
    assert argument_names(["class", "column_0", "ID", "id", "_x"]) == {
        "class": "column_1",
        "ID": "column_2",
        "_x": "column_3",
    }
