"""From a run's folder to a version, on both backends."""

import json
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from serving_support.living_models import started
from support import processes

from keras_smes import SMES, FeatureSchema, Number, build_ranker
from keras_smes.cli import main
from keras_smes.export import export_folders, export_run
from keras_smes.export.audit import serving_ops
from keras_smes.export.graph.signature_defs import read_saved_model
from keras_smes_serving.client import Client

pytestmark = pytest.mark.tensorflow

# What a JAX user does: builds and saves; answers from JAX itself; exports by the command line.
JAX = """
    import json, sys
    import keras, numpy as np
    from keras_smes import SMES
    from keras_smes.cli import main
    from keras_smes.features.schema import FeatureSchema, IntegerCategory, Number
    from keras_smes.ranker import build_ranker

    assert keras.backend.backend() == "jax"
    run, models = sys.argv[1:]
    features = (IntegerCategory("user_id", vocabulary=(7, 9), side="user"), Number("age", mean=30.0, std=9.0))
    schema = FeatureSchema(features)
    keras.utils.set_random_seed(3)
    smes = SMES(2, num_experts=6, num_shared=1, num_private=1, expert_units=(8, 4))
    ranker = build_ranker(schema, ["click", "like"], smes)
    ranker.save(run + "/model.keras")
    open(run + "/schema.json", "w").write(json.dumps(schema.to_config()))
    scores = ranker({"user_id": np.array([7, 9, 8]), "age": np.array([25.0, 31.0, 60.0], "float32")})
    print(json.dumps({task: np.asarray(score).tolist() for task, score in scores.items()}), file=sys.stderr)
    sys.exit(main(["export", run, "--to", models, "--batch-sizes", "1", "2"]))
"""


def test_a_model_of_the_jax_backend(tmp_path):
    pytest.importorskip("jax")
    (tmp_path / "run").mkdir()
    arguments = (tmp_path / "run", tmp_path / "models")
    process = processes.run(textwrap.dedent(JAX), arguments, tmp_path / "log", KERAS_BACKEND="jax")
    assert process.wait() == 0, process.output
    assert "Verified on TensorFlow" in process.output
    expected = json.loads(next(line for line in process.output.splitlines() if line.startswith('{"click"')))
    serve = tf.saved_model.load(str(tmp_path / "models" / "1")).signatures["serving_default"]
    served = serve(user_id=tf.constant([7, 9, 8], tf.int64), age=tf.constant([25.0, 31.0, 60.0]))
    for task, score in expected.items():
        np.testing.assert_allclose(served[task], score, rtol=0, atol=1e-5)


@pytest.fixture
def run(ranker, schema, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    ranker.save(folder / "model.keras")
    (folder / "schema.json").write_text(json.dumps(schema.to_config()))
    (folder / "metrics.json").write_text('{"tasks": {"click": {"auc": 0.7}}}')
    return folder


def test_the_command_makes_both_exports(run, tmp_path, capsys):
    options = ["--batch-sizes", "2", "--signatures", "serving_default", "rank", "--version", "5"]
    assert main(["export", str(run), "--to", str(tmp_path / "smes"), "--xla", *options]) == 0
    printed = capsys.readouterr().out
    cards = [tmp_path / name / "5" / "assets.extra" / "model_card.json" for name in ("smes", "smes-xla")]
    plain, xla = (json.loads(card.read_text()) for card in cards)
    assert (plain["xla"], xla["xla"]) == (False, True)
    assert plain["metrics"]["tasks"]["click"]["auc"] == 0.7
    assert plain["signatures"]["rank"]["inputs"]["age"]["shape"] == [1]
    for card in cards:
        assert f"Exported to {card.parents[1]}" in printed
    assert f"Verified on TensorFlow {tf.__version__}" in printed


def test_a_sparse_ranker_is_exported_for_xla_and_served_with_the_flag_alone(tmp_path):
    """Many experts for few picks: under XLA blocks, whose operations stock servers don't run."""
    pytest.importorskip("tensorflow_serving", reason='needs the extra "serving"')
    x = FeatureSchema((Number("x", mean=0.0, std=1.0),))
    wide = build_ranker(x, ["click", "like"], SMES(2, 64, 1, 1, (64, 32)), encoder_units=(16,))
    wide.save(tmp_path / "model.keras")
    (tmp_path / "schema.json").write_text(json.dumps(x.to_config()))
    plain, xla = export_folders(
        tmp_path, {tmp_path / "smes": False, tmp_path / "smes-xla": True}, batch_sizes=(64,)
    )
    assert "XlaDynamicUpdateSlice" in set(_ops(xla.folder)) <= serving_ops(xla=True)
    assert set(_ops(plain.folder)) <= serving_ops()
    rows = {"x": np.linspace(-3, 3, 64, dtype="float32")}
    expected = {task: np.array(score) for task, score in wide(rows).items()}
    flags = [f"--model_base_path={xla.folder.parent}", "--port=0", "--xla_cpu_compilation_enabled"]
    with started(*flags) as (_, address, _), Client(address) as client:
        for task, scores in client.predict("default", rows).items():
            np.testing.assert_allclose(scores, expected[task], rtol=0, atol=1e-5)


def _ops(folder):
    for graph in read_saved_model(folder).meta_graphs:
        yield from (node.op for node in graph.graph_def.node)
        yield from (node.op for f in graph.graph_def.library.function for node in f.node_def)


def test_where_xla_is_refused_nothing_is_published(tmp_path):
    """A model of one's own has no core that XLA could compile without the lookups."""
    inputs = keras.Input((3,), name="age")
    keras.Model(inputs, keras.layers.Dense(1, name="click")(inputs)).save(tmp_path / "model.keras")
    for folders in ({"smes": False, "smes-xla": True}, {"smes-xla": True, "smes": False}):
        with pytest.raises(ValueError, match="must be a model of `build_ranker`"):
            export_folders(
                tmp_path, {tmp_path / name: xla for name, xla in folders.items()}, batch_sizes=(1,)
            )
        assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_a_version_that_is_there_already_keeps_the_other_from_being_published(run, tmp_path):
    (tmp_path / "smes" / "5").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="version=5"):
        export_folders(run, {tmp_path / "smes-xla": True, tmp_path / "smes": False}, version=5)
    assert not (tmp_path / "smes-xla").exists()


def test_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        export_run(tmp_path / "nowhere", tmp_path / "smes")
    assert not (tmp_path / "smes").exists()
