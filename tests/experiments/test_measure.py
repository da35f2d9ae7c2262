"""What a run is measured by."""

import keras
import numpy as np
import pytest

pytest.importorskip("polars", reason='needs the extra "data"')

from sklearn.metrics import roc_auc_score

from keras_smes.experiments import Experiment
from keras_smes.experiments.measure import (
    Contender,
    EpochClock,
    cost,
    load_in_training,
    oracle_tasks,
    read_rows,
)
from keras_smes.training import fit_ranker

pytestmark = pytest.mark.tensorflow

EXPERIMENT = Experiment(
    name="small",
    question="?",
    data="simulated",
    data_options={"rows": 2000, "users": 60, "videos": 80, "days": 4, "seed": 3},
    seeds=[0, 5],
    common={"encoder": {"units": [8]}, "tower_units": [4], "training": {"epochs": 2, "batch_size": 256}},
    models={"smes": {"experts": {"num_experts": 8, "num_shared": 1, "expert_units": [4, 3]}}},
)


@pytest.fixture(scope="module")
def rows():
    return read_rows(EXPERIMENT)


@pytest.fixture(scope="module")
def contender(rows):
    return Contender(EXPERIMENT.runs()[0].config, rows)


def test_it_trains_anew_as_fit_ranker_does(rows, contender):
    for seed in (0, 5):
        contender.train(seed)
    expected = fit_ranker(EXPERIMENT.runs()[1].config, rows.parts.train, verbose=0).ranker
    for received, weights in zip(contender.ranker.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(received, weights)


def test_cost_is_of_the_experts_and_their_routers(contender):
    # 6 tasks, h of 8; an expert is 8*4 + 4*3, and mixed for 6 tasks into 3 numbers.
    counted = cost(contender.ranker, {"union_mean": 4.5})
    assert counted["multiplications"] == (8 + 1) * 6 * 8 + 4.5 * (8 * 4 + 4 * 3 + 6 * 3)
    assert counted["parameters"] == 8 * 6 * 8 + 8 * (8 * 4 + 4 + 4 * 3 + 3)


def test_load_in_training_is_that_of_all_training_rows(rows, contender):
    core, features = contender.ranker.get_layer("core"), rows.prepared.rows.head(10**9)[0]
    h = keras.Model(core.inputs, core.get_layer("experts").input)(features)
    pairs_e = np.asarray(core.get_layer("experts").route(h)["union"]).sum(axis=0)
    assert pairs_e.sum() > len(rows.parts.train)
    assert load_in_training(contender.ranker, rows.prepared.rows) == {
        "train_load_max_over_mean": pytest.approx(pairs_e.max() / pairs_e.mean()),
        "train_dead_experts": (pairs_e < pairs_e.mean() / 10).sum(),
    }


def test_oracle_against_scikit_learn(rows):
    frame = rows.parts.test.frame
    found = oracle_tasks(rows.parts.test)
    for task in ("click", "follow"):
        expected = roc_auc_score(frame[task].to_numpy(), frame[f"{task}_probability"].to_numpy())
        assert found[task]["auc"] == pytest.approx(expected)


def test_rows_per_second_leaves_out_the_epoch_that_builds_the_graph():
    clock = EpochClock()
    clock.start, clock.ends = 0.0, [9.0, 11.0, 13.0]
    assert clock.rows_per_second(100) == 50.0
    clock.ends = [5.0]
    assert clock.rows_per_second(100) == 20.0
