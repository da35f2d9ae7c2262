"""What layers take from a batch as a whole, on two devices: of all rows that count, on any of them."""

import json

import pytest
from support.processes import TWO_CPUS, Process, killed_at_the_end

pytestmark = pytest.mark.tensorflow

SCRIPT = """
import dataclasses, json, sys
import numpy as np
from keras_smes import BinaryTask
from keras_smes.data import simulate, split
from keras_smes.distribution import DistributionConfig, build_engine
from keras_smes.training import OptimizerConfig, RunConfig, TrainingConfig, fit_ranker

rows = simulate(rows=1200, users=60, videos=80, days=5, seed=3, groups={"g": {"click": 0.4, "like": 0.2}})
MODELS = {
    "smes": {"num_experts": 4, "num_shared": 1, "expert_units": [8, 4], "balance_weight": 1.0},
    "home": {"task_groups": [[0], [1]], "expert_units": [8, 4]},
}
# Of most rows neither task counts: pieces of a batch differ in how many do.
tasks = (BinaryTask("like", condition="click"), BinaryTask("again", label="click", condition="like"))
train = dataclasses.replace(split(rows, test_fraction=0.2).train, tasks=tasks)
plain = OptimizerConfig("sgd", 0.05, "sgd", schedule="constant")


def weights(name, engine):
    distribution = DistributionConfig(engine, 2 if engine == "mirrored" else None)
    training = TrainingConfig(epochs=2, batch_size=63, monitor_rows=0)
    config = RunConfig("simulated", model=name, experts=MODELS[name], optimizer=plain, training=training)
    config = dataclasses.replace(config, distribution=distribution)
    fitted = fit_ranker(config, train, verbose=0, engine=build_engine(distribution))
    return fitted.ranker.get_layer("core").get_weights()


one, two = (weights(sys.argv[1], engine) for engine in ("single", "mirrored"))
print(json.dumps(max(float(np.abs(a - b).max()) for a, b in zip(one, two))))
"""


@pytest.mark.parametrize("model", ["smes", "home"])
def test_two_devices_end_in_the_weights_of_one(model, tmp_path):
    process = Process(TWO_CPUS + SCRIPT, (model,), tmp_path / "log")
    with killed_at_the_end({"process": process}):
        assert process.wait() == 0, process.output
    assert json.loads(process.output.splitlines()[-1]) < 1e-5
