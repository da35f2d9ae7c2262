"""Every balance of losses in every precision: a step that XLA compiles, and one on JAX, is the graph's."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
from support.processes import Process, killed_at_the_end
from support.small_trainer import make_small_trainer

from keras_smes import SMES
from keras_smes.tasks import BinaryTask
from keras_smes.training import OptimizerConfig, TrainingConfig

pytestmark = pytest.mark.tensorflow

TRAINING = TrainingConfig(epochs=3, batch_size=20)
# Steps without momentum: Adam divides by what is small, and shows rounding as large as a step.
PLAIN = OptimizerConfig("sgd", 0.2, "sgd", schedule="constant")
# What rounding may make of weights of about 1 in 15 steps.
TOLERANCE = {"float32": 2e-5, "mixed_bfloat16": 0.03, "mixed_float16": 5e-3}
BALANCES = ("fixed", "uncertainty", "dwa", "gradnorm", "pcgrad")
PAIRS = [
    *((balance, "float32") for balance in BALANCES),
    *((balance, "mixed_float16") for balance in ("fixed", "gradnorm", "pcgrad")),
    ("gradnorm", "mixed_bfloat16"),
]
ON_JAX = """
import sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from training.test_ways_of_training import PAIRS, trained
arrays = {}
for balance, policy in PAIRS:
    arrays |= {f"{balance}/{policy}/{n}": w for n, w in enumerate(trained(balance, policy))}
np.savez(sys.argv[1], **arrays)
"""


def smes():
    return SMES(2, 8, 1, 1, (8, 4), execution="auto", balance_weight=0.5, name="experts")


def trained(balance, policy, **changes):
    """Weights, and those of the balance, after 15 steps on two tasks; few rows count for the second."""
    training = dataclasses.replace(TRAINING, loss_balance=balance, dtype_policy=policy, **changes)
    tasks = [BinaryTask("click"), BinaryTask("like", condition="click", weight=2.0)]
    trainer = make_small_trainer(training, PLAIN, tasks, experts=smes)
    before = trainer.model.core.get_weights()
    history = trainer.train().history
    assert history[-1]["click_loss"] < history[0]["click_loss"]
    weights = trainer.model.core.get_weights()
    assert max(np.abs(one - other).max() for one, other in zip(before, weights, strict=True)) > 0.05
    return weights if balance == "pcgrad" else [*weights, *trainer.model.joint_state.get_weights()]


graph = functools.cache(trained)


def assert_within(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("balance", "policy"), PAIRS)
def test_under_xla_it_is_the_training_of_the_graph(balance, policy):
    assert_within(trained(balance, policy, jit_compile=True), graph(balance, policy), TOLERANCE[policy])


@pytest.mark.parametrize(("balance", "policy"), [("fixed", "float32"), ("pcgrad", "mixed_float16")])
def test_under_xla_with_several_steps_in_an_execution(balance, policy):
    found = trained(balance, policy, jit_compile=True, steps_per_execution=5)
    assert_within(found, graph(balance, policy), TOLERANCE[policy])


def test_balances_differ():
    """So that the other tests can fail: no balance is another one ignored."""
    ways = [graph(balance, "float32") for balance in BALANCES]
    encoders = [next(w for w in way if w.shape == (9, 8)) for way in ways]
    for n, one in enumerate(encoders):
        for other in encoders[:n]:
            assert np.abs(one - other).max() > 10 * TOLERANCE["float32"]


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory):
    pytest.importorskip("jax")
    folder = tmp_path_factory.mktemp("jax")
    arguments = (folder / "weights.npz", Path(__file__).parents[1])
    process = Process(ON_JAX, arguments, folder / "log", KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
    with killed_at_the_end({"process": process}):
        assert process.wait() == 0, process.output
    return np.load(folder / "weights.npz")


@pytest.mark.parametrize(("balance", "policy"), PAIRS)
def test_on_jax_it_is_the_training_of_tensorflow(on_jax, balance, policy):
    expected = graph(balance, policy)
    found = [on_jax[f"{balance}/{policy}/{n}"] for n in range(len(expected))]
    assert_within(found, expected, TOLERANCE[policy])
