"""A trainer on 100 rows: its losses, a kill at any execution of steps, what isn't finite."""

import dataclasses
import re

import keras
import numpy as np
import pytest

from keras_smes.diagnostics import Events
from keras_smes.tasks import BinaryTask
from keras_smes.training import Checkpointer, EarlyStopping, MetricOfTask, NonFiniteError, TrainingConfig
from keras_smes.training.loop.callbacks import ProgressBar
from keras_smes.training.loop.state import Progress, read_variables, state_variables, write_variables

pytestmark = pytest.mark.tensorflow

TRAINING = TrainingConfig(epochs=3, batch_size=8, steps_per_execution=2)
BALANCES = ("fixed", "uncertainty", "dwa", "gradnorm", "pcgrad")


class Killed(Exception):
    pass


def train_and_die(trainer, folder, executions):
    """Trains until `fit` is left within an epoch, as by a kill, and returns the state that was written."""
    trainer.session = Checkpointer(folder, {}, minutes=0)
    trainer.session.resume("")
    left, write = [executions], trainer._after_execution

    def write_then_die():
        write()
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    trainer._after_execution = write_then_die
    with pytest.raises(Killed):
        trainer.train()
    trainer._after_execution, trainer.session = write, None
    return Checkpointer(folder, {}).resume("")


def state_of(trainer):
    return read_variables(state_variables(trainer.model))


def start_over(trainer, initial):
    """Spares another tracing of the same graph."""
    trainer.resume(Progress().to_dict(), initial)


def assert_same_bits(one, other):
    assert list(one) == list(other)
    for name, values in one.items():
        assert values.tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize("balance", BALANCES)
def test_a_resumed_training_ends_in_the_same_bits(make_trainer, tmp_path, balance):
    trainer = make_trainer(dataclasses.replace(TRAINING, loss_balance=balance))
    initial = state_of(trainer)
    expected = trainer.train().history
    losses = [epoch["click_loss"] for epoch in expected]
    assert losses[-1] < 0.95 * losses[0]
    final = state_of(trainer)
    # Of 7 executions an epoch: in the middle of the second; and after the last step of the first.
    for executions, place in ((10, (1, 13 + 6)), (7, (0, 13))):
        start_over(trainer, initial)
        found = train_and_die(trainer, tmp_path / str(executions), executions)
        start_over(trainer, initial)
        trainer.resume(found.meta["progress"], found.arrays)
        assert (trainer.progress.epoch, trainer._steps_done()) == place
        assert trainer.train().history == expected
        assert_same_bits(state_of(trainer), final)


def test_steps_in_an_execution_change_nothing(make_trainer):
    single = make_trainer(dataclasses.replace(TRAINING, steps_per_execution=1))
    many = make_trainer(dataclasses.replace(TRAINING, steps_per_execution=5))
    assert single.train().history == many.train().history
    assert_same_bits(state_of(single), state_of(many))


def test_the_state_of_another_model_is_refused(make_trainer):
    trainer = make_trainer()
    arrays = state_of(trainer)
    variables = state_variables(trainer.model)
    with pytest.raises(ValueError, match="optimizer/0"):
        write_variables(variables, {k: v for k, v in arrays.items() if k != "optimizer/0"})
    table = next(name for name, values in arrays.items() if values.shape == (21, 4))
    with pytest.raises(ValueError, match=rf"{table} has shape \(21, 4\). Received: shape \(5, 4\)"):
        write_variables(variables, {**arrays, table: np.zeros((5, 4))})


def test_losses_of_a_step_by_hand(make_trainer):
    trainer = make_trainer()
    data = trainer.plan.batch(0, 0)
    _, targets, counted = (
        {name: values.numpy().astype("float64") for name, values in part.items()} for part in data
    )
    losses, step = trainer.model.step_losses(data, training=False)
    logits = {name: np.asarray(z, "float64") for name, z in trainer.model.core(data[0]).items()}
    expected = {}
    for task, z in logits.items():
        p = 1 / (1 + np.exp(-z))
        rows = -(targets[task] * np.log(p) + (1 - targets[task]) * np.log(1 - p))
        expected[task] = (counted[task] * rows).sum() / counted[task].sum()
    assert 0 < counted["like"].sum() < 8  # clicked rows only
    assert float(losses["click"]) == pytest.approx(expected["click"], rel=1e-5)
    assert float(losses["like"]) == pytest.approx(expected["like"], rel=1e-5)
    # The layer's own loss, once: 0.1 times the mean square of what it puts out.
    experts = trainer.model.core.get_layer("experts")
    outputs = keras.Model(trainer.model.core.input, experts.output)(data[0])
    own = 0.1 * float(np.square(outputs).mean())
    assert float(step.layers) == pytest.approx(own, rel=1e-5)
    total = expected["click"] + 2.0 * expected["like"] + own  # the task's weight is 2
    assert float(step.total) == pytest.approx(total, rel=1e-5)


def test_an_epochs_loss_of_a_task_is_over_the_rows_that_count(make_trainer):
    trainer = make_trainer(dataclasses.replace(TRAINING, epochs=1), optimizer=_still())
    core = trainer.model.core
    core.get_layer("experts").dropout.rate = 0.0
    logits = {}
    features, targets, counted = trainer.plan.rows.take(np.arange(100))
    logits = core(features)
    expected = trainer.model.task_losses(targets, logits, counted)
    (history,) = trainer.train().history
    for task in ("click", "like"):
        assert history[f"{task}_loss"] == pytest.approx(float(expected[task]), rel=1e-4)


def _still():
    from keras_smes.training import OptimizerConfig

    return OptimizerConfig(learning_rate=1e-12)


def test_pcgrad_of_one_task_is_the_plain_sum(make_trainer):
    # Nothing to project: the same step as a fixed sum, the layers' own loss included.
    tasks = [BinaryTask("click"), BinaryTask("like", weight=0.0)]
    plain, projected = (
        make_trainer(dataclasses.replace(TRAINING, epochs=1, loss_balance=name), tasks=tasks)
        for name in ("fixed", "pcgrad")
    )
    assert plain.train().history[0]["loss"] == pytest.approx(projected.train().history[0]["loss"], rel=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains(make_trainer, policy):
    trainer = make_trainer(dataclasses.replace(TRAINING, epochs=4, dtype_policy=policy))
    assert trainer.model.core.get_layer("encoder_0").compute_dtype == policy.removeprefix("mixed_")
    losses = [epoch["click_loss"] for epoch in trainer.train().history]
    assert losses[-1] < 0.9 * losses[0]
    assert all(v.dtype == "float32" for v in trainer.model.core.trainable_variables)


@pytest.mark.parametrize("floatx", ["float64", "float16"])
@pytest.mark.parametrize("balance", ["uncertainty", "gradnorm"])
def test_keras_floatx_changes_nothing(make_trainer, floatx, balance):
    """Losses and weights are float32 by the configuration's policy; means of an epoch are Keras' affair."""
    training = dataclasses.replace(TRAINING, epochs=1, loss_balance=balance)
    expected = make_trainer(training).train().history[0]["click_loss"]
    keras.config.set_floatx(floatx)
    try:
        found = make_trainer(training).train().history[0]["click_loss"]
    finally:
        keras.config.set_floatx("float32")
    assert found == pytest.approx(expected, rel=1e-3)


def test_overflowing_gradients_of_float16_are_skipped_and_the_scale_falls(make_trainer):
    trainer = make_trainer(dataclasses.replace(TRAINING, epochs=1, dtype_policy="mixed_float16"))
    optimizer = trainer.model.optimizer
    optimizer.dynamic_scale.assign(2.0**40)
    trainer.train()
    assert float(optimizer.dynamic_scale) < 2.0**40
    assert trainer._steps_done() == 13


def figures(*values):
    """A validation whose click AUC is given for each epoch."""
    values = iter(values)
    return lambda: ({"val_loss": 0.5}, {"click": {"auc": next(values)}})


def test_training_stops_early_and_keeps_the_best_weights_over_a_kill(make_trainer, tmp_path):
    choice = {"early_stopping": EarlyStopping("click", patience=2), "select": MetricOfTask("click")}
    aucs = (0.6, 0.7, 0.65, 0.69, 0.9, 0.9)
    trainer = make_trainer(dataclasses.replace(TRAINING, epochs=6, **choice), validate=figures(*aucs))
    initial = state_of(trainer)
    progress = trainer.train()
    assert progress.epoch == 4  # two epochs after the second, no better
    assert (progress.selected.epoch, progress.selected.value) == (1, 0.7)
    assert progress.history[0]["val_loss"] == 0.5
    kept = trainer.model.core.get_weights()

    start_over(trainer, initial)
    trainer.validate = figures(*aucs)
    found = train_and_die(trainer, tmp_path, 17)  # in the third epoch
    second = Checkpointer(tmp_path, {}).checkpoints.folder / "step-000000000026.npz"
    assert not second.exists()  # two are kept, both of the third epoch
    start_over(trainer, initial)
    trainer.resume(found.meta["progress"], found.arrays)
    trainer.validate = figures(*aucs[2:])
    assert trainer.train().selected == progress.selected
    for weights, again in zip(kept, trainer.model.core.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, again)

    start_over(trainer, initial)  # the best epoch alone
    trainer.config = dataclasses.replace(TRAINING, epochs=2)
    trainer.train()
    for weights, best in zip(kept, trainer.model.core.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, best)


def poison_row(trainer, feature, epoch, step):
    """Sets the embedding of one id of a batch to NaN; returns the first batch that looks it up."""
    row = int(trainer.plan.batch(epoch, step)[0][feature][0])
    table = trainer.model.core.get_layer(f"embed_{feature}").embeddings
    values = np.array(table)
    values[row] = np.nan
    table.assign(values)
    return next(s for s in range(13) if row in trainer.plan.batch(epoch, s)[0][feature].numpy())


def test_what_is_not_finite_stops_and_is_named(make_trainer, tmp_path):
    session = Checkpointer(tmp_path, {}, minutes=0)
    session.resume("")
    trainer = make_trainer(session=session)
    step = poison_row(trainer, "video_id", 0, 9)
    before = state_of(trainer)
    with pytest.raises(NonFiniteError, match=f"epoch 1, batch {step + 1}") as caught:
        trainer.train()
    error = caught.value
    assert (error.epoch, error.batch, error.features) == (1, step + 1, ("video_id",))
    assert "click" in error.tasks
    assert trainer._steps_done() == step
    # No weight was touched by the bad step or by one after it: only the poisoned row is NaN.
    assert nans_in(state_of(trainer)) == nans_in(before)
    found = session.resume("")
    assert found is None or nans_in(found.arrays) == nans_in(before)


def nans_in(state):
    weights = {name: values for name, values in state.items() if name.startswith(("model", "optimizer"))}
    return {name: int(np.isnan(x).sum()) for name, x in weights.items() if x.dtype.kind == "f"}


def test_one_task_alone_is_named(make_trainer):
    trainer = make_trainer()
    tower = trainer.model.core.get_layer("tower_like")
    tower.trainable_variables[0].assign(np.full(tower.trainable_variables[0].shape, np.nan))
    with pytest.raises(NonFiniteError) as caught:
        trainer.train()
    assert caught.value.tasks == ("like",)
    assert caught.value.features == ()
    assert caught.value.weights == (tower.trainable_variables[0].path,)


def test_a_gradient_alone_stops_too(make_trainer):
    import tensorflow as tf

    @tf.custom_gradient
    def spoiled(x):
        return x, lambda upstream: upstream * float("inf")

    trainer = make_trainer(dataclasses.replace(TRAINING, epochs=1))
    losses = trainer.model.task_losses.__call__
    trainer.model.task_losses = lambda *given: {
        task: spoiled(loss) if task == "click" else loss for task, loss in losses(*given).items()
    }
    trainer.model.task_losses.tasks = make_trainer().model.task_losses.tasks
    with pytest.raises(NonFiniteError) as caught:
        trainer.train()
    assert (caught.value.epoch, caught.value.batch, caught.value.tasks) == (1, 1, ())
    assert any("tower_click" in path for path in caught.value.gradients)


def test_curves_hold_each_epochs_figures(make_trainer, tmp_path):
    import tensorflow as tf
    from tensorflow.python.summary.summary_iterator import summary_iterator

    trainer = make_trainer(curves=Events(tmp_path))
    history = trainer.train().history
    (file,) = tmp_path.iterdir()
    found = {}
    for event in summary_iterator(str(file)):
        for value in event.summary.value:
            found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    assert found["click_loss", 26] == pytest.approx(history[1]["click_loss"])
    assert {step for _, step in found} == {13, 26, 39}


def test_gradnorm_needs_an_encoder(make_trainer):
    from keras_smes.training.task_losses import joint_loss

    core = keras.Sequential([keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"units=\(\)"):
        joint_loss("gradnorm", [BinaryTask("click")], core, 0, {})


def test_options_of_a_balance_are_checked(make_trainer):
    with pytest.raises(ValueError, match="temprature"):
        make_trainer(
            dataclasses.replace(TRAINING, loss_balance="dwa", loss_balance_options={"temprature": 1})
        )


def test_the_bar_ends_where_the_epoch_does(capsys):
    """13 steps in executions of 16 or 4: the last one shown is the thirteenth."""
    for steps_per_execution in (1, 4, 16):
        bar = ProgressBar()
        bar.set_params({"steps": 13, "verbose": 1, "epochs": 1})
        bar.on_train_begin()
        bar.on_epoch_begin(0)
        for end in range(steps_per_execution - 1, 13 + steps_per_execution - 1, steps_per_execution):
            bar.on_train_batch_end(end, {"loss": 1.0})
        bar.on_epoch_end(0, {"loss": 1.0})
        printed = capsys.readouterr().out
        assert "13/13" in printed
        assert not re.search(r"1[4-9]/13|-\d", printed)
