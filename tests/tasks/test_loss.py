"""A task's loss in Keras: the mean over the rows that count, and nothing of the others."""

import json

import keras
import numpy as np
import pytest
from keras import ops
from support.backends import TENSORFLOW, assert_close, compiled, gradients, to_numpy, to_tensors
from support.task_kinds import COUNTED, KINDS, LABELS, logits_of

from keras_smes.layers import TaskTower
from keras_smes.tasks import BinaryTask, TaskLoss

every_kind = pytest.mark.parametrize("task", KINDS.values(), ids=KINDS)
COUNTS = np.array(COUNTED, bool)


def value_and_gradient(task, logits, labels, weights):
    targets, loss = task.targets(labels), task.loss()
    call = lambda x: loss(targets, x[0], sample_weight=weights)  # noqa: E731
    (slope,) = gradients(call, [logits])
    return float(call([logits])), slope


@every_kind
def test_the_loss_is_the_mean_over_the_rows_that_count(task):
    logits = logits_of(task, len(COUNTED))
    alone = to_numpy(task.row_losses(*to_tensors((task.targets(LABELS)[COUNTS], logits[COUNTS]))))
    found, _ = value_and_gradient(task, logits, LABELS, task.counted(LABELS))
    assert found == pytest.approx(alone.sum() / 3, rel=1e-6)


@every_kind
def test_rows_that_do_not_count_have_no_gradient_at_all(task):
    logits = logits_of(task, len(COUNTED), scale=50)
    _, slope = value_and_gradient(task, logits, LABELS, task.counted(LABELS))
    assert np.isfinite(slope).all()
    assert (slope[~COUNTS] == 0).all()
    assert (np.abs(slope[COUNTS]).sum() > 0).all()


@every_kind
def test_where_no_row_counts_loss_and_gradient_are_0(task):
    labels = {**LABELS, task.label: np.full(6, np.nan)}
    found, slope = value_and_gradient(task, logits_of(task, 6), labels, task.counted(labels))
    assert found == 0
    assert (slope == 0).all()


def test_without_weights_every_row_counts():
    logits = np.zeros(2, "float32")
    assert float(BinaryTask("a").loss()(np.ones(2), logits)) == pytest.approx(np.log(2), rel=1e-6)


def test_the_loss_made_by_hand_is_the_tasks_own():
    made, own = TaskLoss(KINDS["binary"]), KINDS["binary"].loss()
    assert made.get_config() == own.get_config()


def test_the_usual_reduction_divides_by_the_batch():
    task = KINDS["binary"]
    arguments = (task.targets(LABELS), logits_of(task, 6), task.counted(LABELS))
    by_counted, by_batch = (
        float(task.loss(**how)(*arguments)) for how in ({}, {"reduction": "sum_over_batch_size"})
    )
    assert by_batch == pytest.approx(by_counted * 3 / 6, rel=1e-6)


@every_kind
def test_the_loss_is_the_same_under_xla(task):
    loss, counted = task.loss(), task.counted(LABELS)
    arrays = (task.targets(LABELS), logits_of(task, 6), counted)
    eager = to_numpy(loss(*to_tensors(arrays)))
    assert_close(to_numpy(compiled(loss)(*to_tensors(arrays))), eager, 1e-6)


@every_kind
def test_a_loss_survives_json(task):
    loss = task.loss(reduction="sum")
    again = keras.losses.deserialize(json.loads(json.dumps(keras.losses.serialize(loss))))
    assert isinstance(again, TaskLoss)
    assert (again.task, again.reduction, again.name) == (task, "sum", task.name)


@every_kind
def test_fit_gives_rows_that_do_not_count_no_say(task, tmp_path):
    """Training with other features in the rows that don't count ends in the same weights, bit by bit."""

    def trained(rows_bd):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((3,))
        model = keras.Model(inputs, {task.name: TaskTower((4,), task.width)(inputs)})
        model.compile("sgd", loss={task.name: task.loss()}, loss_weights={task.name: 2.0})
        arguments = ({task.name: task.targets(LABELS)}, {task.name: task.counted(LABELS)})
        model.fit(rows_bd, arguments[0], sample_weight=arguments[1], epochs=3, verbose=0)
        return model

    rows_bd = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    other_bd = np.where(COUNTS[:, None], rows_bd, 7 * rows_bd + 1)
    model, other = trained(rows_bd), trained(other_bd)
    for weight, same in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, same)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(rows_bd, verbose=0)[task.name], model.predict(rows_bd, verbose=0)[task.name]
    )
    assert loaded.evaluate(rows_bd[:3], {task.name: task.targets(LABELS)[:3]}, verbose=0) is not None


@pytest.mark.skipif(not TENSORFLOW, reason="half precision as TensorFlow's policies set it")
def test_the_loss_is_computed_in_float32_whatever_the_global_policy():
    """A sum of ones in float16 stands still at 2048; the result is of Keras' floatx, as its own are."""
    before = keras.config.floatx()
    keras.config.set_floatx("float16")
    try:
        loss = BinaryTask("a").loss()(np.zeros(5000), np.full(5000, 0.5))
    finally:
        keras.config.set_floatx(before)
    assert ops.shape(loss) == ()
    assert keras.backend.standardize_dtype(loss.dtype) == "float16"
    assert float(loss) == pytest.approx(np.log1p(np.exp(0.5)), rel=1e-3)
