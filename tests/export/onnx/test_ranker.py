"""Rankers in ONNX Runtime: raw columns in, vocabularies within, scores as Keras'."""

import json

import keras
import numpy as np
import pytest

from keras_smes import SMES, build_ranker
from keras_smes.cli import main
from keras_smes.export import export_onnx_version, to_onnx
from keras_smes.features.schema import (
    FeatureSchema,
    HashedInteger,
    IntegerCategory,
    Number,
    Sequence,
    StringCategory,
    Tags,
)
from keras_smes.tasks import OrdinalTask, RegressionTask

runtime = pytest.importorskip("onnxruntime", reason='needs the extra "onnx"')
pytestmark = pytest.mark.tensorflow

VIDEOS = {"vocabulary": (1, 2, 3, 4), "dim": 4, "table": "videos"}
SCHEMA = FeatureSchema(
    (
        IntegerCategory("user_id", vocabulary=(7, 2**60), side="user", dim=4),
        StringCategory("sex", vocabulary=("f", "männlich"), default="f", dim=4),
        StringCategory("nothing", vocabulary=(), dim=4),
        IntegerCategory("video_id", **VIDEOS),
        Sequence("seen", **VIDEOS, max_length=5, target="video_id", pooling="attention"),
        Tags("tags", items="string", vocabulary=("a", "b"), dim=4, max_length=3),
        Number("age", mean=30.0, std=10.0),
        Number("rate", log=True, mean=1e-6, std=1e-6),
        Number("price", buckets=(1.0, 2.0, 5.0), dim=4),
    )
)
# By hand: unknown values, letters of two bytes, NaN, infinities, rows of more values than fit and of none.
ROWS = {
    "user_id": np.array([7, 2**60, -5]),
    "sex": np.array(["männlich", "", "f"], object),
    "nothing": np.array(["a", "", "b"], object),
    "video_id": np.array([4, 9, 1]),
    "seen": np.array([[1, 2, 3, 4, 9, 1, 2], [4, 4, 4, 4, 4, 4, 4], [0, 0, 0, 0, 0, 0, 0]]),
    "seen_length": np.array([7, 2, -1], np.int32),
    "tags": np.array([["a"], ["x"], ["b"]], object),
    "tags_length": np.array([1, 9, 0], np.int32),
    "age": np.array([31.5, np.nan, -np.inf], np.float32),
    "rate": np.array([2e-6, 0.0, np.nan], np.float32),
    "price": np.array([2.0, 1e9, np.nan], np.float32),
}


def ranker_of(schema, execution="auto", tasks=("click", "like")):
    keras.utils.set_random_seed(4)
    smes = SMES(len(tasks), 9, num_shared=1, num_private=1, expert_units=(8, 4), execution=execution)
    return build_ranker(schema, tasks, smes, encoder_units=(16,), tower_units=(4,))


@pytest.fixture(scope="module")
def ranker():
    watch = RegressionTask("watch", mean=2.0, std=1.5)
    stars = OrdinalTask("stars", thresholds=(1.0, 2.0))
    return ranker_of(SCHEMA, tasks=("click", "like", watch, stars))


@pytest.fixture(scope="module")
def exported(ranker, tmp_path_factory):
    models = tmp_path_factory.mktemp("models") / "smes"
    return export_onnx_version(ranker, models, SCHEMA, batch_sizes=(1, 2, 7, 64, 513))


def session_of(folder):
    return runtime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])


def test_it_was_verified_on_each_batch_size(exported):
    assert exported.proof.requests == 5
    assert exported.proof.difference < 1e-5
    card = json.loads((exported.folder / "assets.extra" / "model_card.json").read_text())
    assert card["format"] == "onnx"
    assert card["signatures"]["serving_default"]["inputs"]["sex"] == {
        "dtype": "tensor(string)",
        "shape": ["batch"],
    }


def test_rows_by_hand_get_the_scores_of_keras(ranker, exported):
    session = session_of(exported.folder)
    assert {value.name for value in session.get_inputs()} == set(ROWS)
    names = [value.name for value in session.get_outputs()]
    scores = dict(zip(names, session.run(names, ROWS), strict=True))
    assert set(scores) == {"click", "like", "watch", "stars"}
    for name, expected in ranker(ROWS).items():
        np.testing.assert_allclose(scores[name], expected, rtol=1e-5, atol=1e-6)


def test_sequences_may_have_any_width(ranker, exported):
    for width in (1, 5, 60):
        rows = {
            **ROWS,
            "seen": np.arange(3 * width).reshape(3, width),
            "seen_length": np.full(3, width, np.int32),
        }
        (scores,) = session_of(exported.folder).run(["click"], rows)
        np.testing.assert_allclose(scores, ranker(rows)["click"], rtol=1e-5, atol=1e-6)


def test_a_hashed_feature_is_rejected_by_name():
    schema = FeatureSchema((HashedInteger("city", num_bins=11, dim=4), Number("age", mean=1.0, std=1.0)))
    with pytest.raises(ValueError, match="feature 'city', hashed into 11 rows"):
        to_onnx(ranker_of(schema), schema)


def test_operations_that_onnx_lacks_are_rejected_by_name():
    age = keras.Input((3,), name="age")
    with pytest.raises(ValueError, match=r"operations that ONNX has.*Erfinv"):
        to_onnx(keras.Model({"age": age}, {"click": keras.ops.erfinv(age)}))


def test_a_task_named_as_a_feature_is_rejected_by_name():
    schema = FeatureSchema((Number("age", mean=1.0, std=1.0),))
    with pytest.raises(ValueError, match=r"other names than tasks have\. Received: \['age'\]"):
        to_onnx(ranker_of(schema, tasks=("click", "age")), schema)


@pytest.mark.parametrize(
    ("format", "way_out"), [("onnx", "export_onnx_version"), ("litert", "execution='dense'")]
)
def test_keras_own_export_of_raw_columns_is_rejected(ranker, tmp_path, format, way_out):
    with pytest.raises(ValueError, match=way_out):
        ranker.export(tmp_path / "model", format=format)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def run(ranker, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    ranker.save(folder / "model.keras")
    (folder / "schema.json").write_text(json.dumps(SCHEMA.to_config()))
    return folder


def test_the_command_writes_a_model_of_tritons_repository(run, tmp_path, capsys):
    to = tmp_path / "models" / "smes"
    command = ["export", str(run), "--format", "onnx", "--to", str(to), "--batch-sizes", "1", "32"]
    assert main(command) == 0
    assert "2 requests agree with Keras" in capsys.readouterr().out
    (to / "config.pbtxt").write_text("mine")
    assert main(command) == 0
    assert sorted(path.relative_to(to).as_posix() for path in to.glob("*/model.onnx")) == [
        "1/model.onnx",
        "2/model.onnx",
    ]
    assert (to / "config.pbtxt").read_text() == "mine"


def test_options_of_saved_models_are_rejected(tmp_path, capsys):
    command = ["export", "run", "--format", "onnx", "--to", str(tmp_path), "--xla", "--signatures", "rank"]
    assert main(command) == 2
    assert "--xla" in capsys.readouterr().err


def test_what_triton_reads(exported):
    """As its documentation has it: rows are left out, and no tensor is without dimension."""
    text = exported.config.read_text()
    assert 'name: "smes"' in text
    assert "max_batch_size: 513" in text
    assert 'input { name: "user_id" data_type: TYPE_INT64 dims: [1] reshape: { shape: [ ] } }' in text
    assert 'input { name: "tags" data_type: TYPE_STRING dims: [-1] }' in text
    assert 'output { name: "click" data_type: TYPE_FP32 dims: [1] reshape: { shape: [ ] } }' in text
