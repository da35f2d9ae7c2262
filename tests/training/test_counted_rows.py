"""Rows that count for no task: what is learned and measured is that of the other rows."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_smes import SMES, BinaryTask, FeatureSchema, Number, build_ranker
from keras_smes.baselines import HoME, TaskBalancedSMES
from keras_smes.training import RunConfig, TrainingConfig, evaluate, fit_ranker
from keras_smes.training.model.multi_task import MultiTaskModel
from keras_smes.training.task_losses import TaskLosses, joint_loss

TASKS = [BinaryTask("click", condition="seen"), BinaryTask("like", condition="click")]
# Experts that take something from the batch as a whole.
OF_BATCH = {
    "smes": lambda: SMES(2, 8, 1, 1, (4,), balance_weight=1.0),
    "task_balance": lambda: TaskBalancedSMES(2, 8, 1, 1, (4,), balance_weight=1.0),
    "home": lambda: HoME(2, [[0, 1]], (4,)),
}
WITH_TENSORFLOW = pytest.mark.tensorflow


def model_of(experts):
    """A model of two features and the experts."""
    schema = FeatureSchema((Number("a", mean=0.0, std=1.0), Number("b", mean=0.0, std=1.0)))
    core = build_ranker(schema, TASKS, experts, encoder_units=()).get_layer("core")
    return MultiTaskModel(core, TaskLosses(TASKS), joint_loss("fixed", TASKS, core, 0, {}))


def batch(spoiled):
    """32 rows, of which 20 count for a task; the others are far away if `spoiled`, and else not there."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(32, 2)).astype("float32")
    counted = {"click": np.arange(32) < 15, "like": (np.arange(32) >= 10) & (np.arange(32) < 20)}
    rows = slice(None) if spoiled else slice(20)
    x[20:] = -9.0
    targets = {task.name: generator.integers(0, 2, 32).astype("float32") for task in TASKS}
    parts = ({"standardized-numbers": x}, targets, {n: c.astype("float32") for n, c in counted.items()})
    return tuple({name: values[rows] for name, values in part.items()} for part in parts)


@pytest.mark.parametrize("name", OF_BATCH)
def test_losses_of_a_step_are_those_without_them(name):
    model = model_of(OF_BATCH[name]())
    others, expected = model.step_losses(batch(spoiled=False), training=True)
    losses, found = model.step_losses(batch(spoiled=True), training=True)
    assert float(found.layers) == pytest.approx(float(expected.layers), rel=1e-6)
    assert float(found.total) == pytest.approx(float(expected.total), rel=1e-5)
    for task in losses:
        assert float(losses[task]) == pytest.approx(float(others[task]), rel=1e-5)


def test_moving_averages_are_those_of_the_other_rows():
    moments = []
    for spoiled in (False, True):
        keras.utils.set_random_seed(4)
        model = model_of(OF_BATCH["home"]())
        model.step_losses(batch(spoiled), training=True)
        moments.append([keras.ops.convert_to_numpy(v) for v in model.core.non_trainable_variables])
    for expected, found in zip(*moments, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_batch_of_such_rows_alone_changes_no_moving_average():
    model = model_of(OF_BATCH["home"]())
    before = [np.array(v) for v in model.core.non_trainable_variables]
    features, targets, counted = batch(spoiled=True)
    model.step_losses((features, targets, {n: 0 * rows for n, rows in counted.items()}), training=True)
    for old, variable in zip(before, model.core.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(np.array(variable), old)


def test_a_mask_and_the_rows_that_count_are_joined():
    """A row counts if the model's own mask has it and some task does."""
    features, targets, counted = batch(spoiled=True)
    x = features["standardized-numbers"]
    inputs = {"x": keras.Input((2,)), "real": keras.Input((), dtype="bool")}
    experts = OF_BATCH["smes"]()
    mixed = keras.ops.unstack(experts(inputs["x"], mask=inputs["real"]), 2, axis=1)
    towers = {task.name: keras.layers.Dense(1)(own)[:, 0] for task, own in zip(TASKS, mixed, strict=True)}
    model = MultiTaskModel(
        keras.Model(inputs, towers), TaskLosses(TASKS), joint_loss("fixed", TASKS, None, 0, {})
    )
    real = np.arange(32) % 3 > 0
    found = model.step_losses(({"x": x, "real": real}, targets, counted), training=True)[1].layers
    rows = real & (np.arange(32) < 20)
    experts(x[rows], training=True)
    assert float(found) == pytest.approx(float(experts.losses[0]), rel=1e-6)


def test_outside_of_a_step_all_rows_count():
    experts = OF_BATCH["smes"]()
    x = batch(spoiled=True)[0]["standardized-numbers"]
    experts(x, training=True)
    expected = float(experts.losses[0])
    model_of(experts).step_losses(batch(spoiled=True), training=True)
    experts(x, training=True)
    assert float(experts.losses[0]) == pytest.approx(expected, rel=1e-6)


@pytest.fixture(scope="module")
def rare(parts):
    """Rows of a task that counts for clicked ones alone."""
    tasks = (BinaryTask("like", condition="click"),)
    return [dataclasses.replace(rows, tasks=tasks) for rows in (parts.train, parts.test)]


@WITH_TENSORFLOW
def test_routing_is_measured_over_the_rows_that_count(rare):
    train, test = rare
    experts = {"num_experts": 8, "num_shared": 1, "expert_units": (8, 4)}
    config = RunConfig("simulated", experts=experts, training=TrainingConfig(epochs=1, batch_size=256))
    fitted = fit_ranker(config, train, test, verbose=0)
    clicked = test.labels()["click"] == 1
    assert 0 < clicked.sum() < len(clicked)
    routing = evaluate(fitted.ranker, test)["routing"]
    assert routing["rows"] == clicked.sum()
    core = fitted.ranker.get_layer("core")
    features = fitted.ranker.get_layer("preprocessor")(
        {name: keras.ops.convert_to_tensor(values) for name, values in test.columns().items()}
    )
    h = keras.Model(core.inputs, core.get_layer("experts").input)(features)
    pairs_e = np.asarray(core.get_layer("experts").route(h)["union"])[clicked].sum(axis=0)
    np.testing.assert_allclose(routing["expert_load"], pairs_e / pairs_e.sum())
    # All of them fit into what the monitor looks at, so that it says the same.
    assert clicked.sum() < config.training.monitor_rows
    monitored = fitted.progress.history[-1]["experts/load_max_over_mean"]
    assert monitored == pytest.approx(routing["load_max_over_mean"], rel=1e-6)
