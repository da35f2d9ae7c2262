"""From a run's folder to a version, on both backends."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from keras_smes.cli import main
from keras_smes.export import export_run

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
    command = [sys.executable, "-c", textwrap.dedent(JAX), str(tmp_path / "run"), str(tmp_path / "models")]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    process = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert process.returncode == 0, process.stderr
    assert "Proved on TensorFlow" in process.stdout
    expected = json.loads(next(line for line in process.stderr.splitlines() if line.startswith('{"click"')))
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
    assert f"Proved on TensorFlow {tf.__version__}" in printed


def test_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        export_run(tmp_path / "nowhere", tmp_path / "smes")
    assert not (tmp_path / "smes").exists()
