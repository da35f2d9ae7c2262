"""Two devices on JAX: batches over them, or experts; then TensorFlow reads what came out."""

import json
import re

import numpy as np
import pytest
from support.distributed_runs import assert_same_outcome, command, figures, flat, write_config
from support.processes import TRAIN, TWO_CPUS_ON_JAX, Process, killed_at_the_end, wait_until

from keras_smes.training import evaluate_run

pytestmark = pytest.mark.tensorflow
pytest.importorskip("jax")

ENGINES = ("single", "data_parallel", "expert_parallel")
# What lies where: the shape of the first device's part of each weight and of its state in the optimizer.
LAYOUTS = """
import json, sys
import keras
from keras_smes import SMES
from keras_smes.distribution import DistributionConfig, build_engine
engine = build_engine(DistributionConfig("expert_parallel"))
h = keras.Input((8,))
core = keras.Model(h, SMES(2, 4, 1, 1, (8, 4), name="experts")(h))
with engine.scope():
    copy = engine.to_train(core)
    optimizer = keras.optimizers.Adam()
    optimizer.build(copy.trainable_variables)
parts = {v.path: v.value.addressable_shards[0].data.shape for v in (*copy.variables, *optimizer.variables)}
print(json.dumps(parts))
"""


def start(folder, name, code=TRAIN, *options, **changes):
    folder.mkdir(exist_ok=True)
    config = write_config(folder, distribution={"engine": name}, **changes)
    arguments = command(config, folder / "run", *options)
    return Process(code, arguments, folder / "log", **TWO_CPUS_ON_JAX)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jax")
    with killed_at_the_end({name: start(folder / name, name) for name in ENGINES}) as processes:
        for process in processes.values():
            assert process.wait() == 0, process.output
    return {name: folder / name / "run" for name in ENGINES}


@pytest.mark.parametrize("name", ENGINES[1:])
def test_two_devices_are_one(runs, name):
    training = figures(runs[name])["training"]
    assert (training["engine"], training["replicas"]) == (name, 2)
    assert_same_outcome(runs[name], runs["single"])


def test_experts_are_halved_and_nothing_else(tmp_path):
    process = start(tmp_path, "expert_parallel", LAYOUTS)
    with killed_at_the_end({"process": process}):
        assert process.wait() == 0, process.output
    parts = json.loads(process.output.splitlines()[-1])
    experts = {path: shape for path, shape in parts.items() if re.search(r"(kernel|bias)_\d", path)}
    assert len(experts) == 3 * 4  # and two moments
    assert all(shape[0] == 2 for shape in experts.values())
    assert parts["experts/router/kernel"] == [8, 2, 4]


def test_a_killed_run_is_taken_up(runs, tmp_path):
    options = ("--checkpoint-minutes", "0")
    process = start(tmp_path, "expert_parallel", TRAIN, *options)
    with killed_at_the_end({"process": process}):
        checkpoints = tmp_path / "run" / "checkpoints"
        wait_until(lambda: len(list(checkpoints.glob("step-*.npz"))) == 2, "checkpoints")
    assert not (tmp_path / "run" / "metrics.json").exists()
    again = start(tmp_path, "expert_parallel", TRAIN, *options)
    with killed_at_the_end({"again": again}):
        assert again.wait() == 0, again.output
    assert_same_outcome(tmp_path / "run", runs["expert_parallel"], tolerance=0)


def test_what_is_not_finite_stops(tmp_path):
    optimizer = {"name": "sgd", "embeddings": "sgd", "learning_rate": 1e30}
    process = start(tmp_path, "data_parallel", optimizer=optimizer)
    with killed_at_the_end({"process": process}):
        assert process.wait() == 2, process.output
    assert "Training stopped in epoch 1, batch 2: a loss or gradient is not finite" in process.output


def test_tensorflow_scores_what_jax_trained(runs):
    trained = flat(figures(runs["expert_parallel"])["tasks"])
    for name, value in flat(evaluate_run(runs["expert_parallel"])["tasks"]).items():
        np.testing.assert_allclose(value, trained[name], rtol=1e-4, err_msg=name)


def test_the_export_of_what_jax_trained_is_proved(runs, tmp_path):
    from keras_smes.export import export_run

    made = export_run(runs["expert_parallel"], tmp_path / "model", signatures=["serving_default"])
    assert made.proof.difference < 1e-5
