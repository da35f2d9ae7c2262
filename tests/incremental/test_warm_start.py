"""A run goes on: what was learned stands where it belongs, and outputs begin where they ended."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_smes.baselines import SharedBottom
from keras_smes.data import simulate
from keras_smes.features.schema import FeatureSchema
from keras_smes.incremental import WarmStart, continue_run
from keras_smes.incremental.experts import check_not_negative, closed_columns
from keras_smes.incremental.grow_smes import mixture_sources
from keras_smes.incremental.tasks import grow_tasks, grown_task_weights
from keras_smes.layers import SMES, PrivateExpertGate, SharedSubsetRouter
from keras_smes.ranker import build_ranker
from keras_smes.tasks import BinaryTask, RegressionTask
from keras_smes.training import OptimizerConfig, RunConfig, evaluate_run
from keras_smes.training.fit import fit_ranker, new_model, prepare_for
from keras_smes.training.loop.transfer_state import learned, slots_by_name, weights_by_name

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def start(run):
    return WarmStart.read(run)


def begun(start, prepared, **experts):
    """The model of the run's configuration, with other options of the experts, that has just begun."""
    config = dataclasses.replace(start.config, experts={**start.config.experts, **experts})
    ranker, model = new_model(config, prepared, 10, first_step=start.first_step)
    start.apply(prepared, model)
    return ranker, model


def scores(ranker, rows):
    import tensorflow as tf

    columns = {name: tf.constant(values) for name, values in rows.columns().items()}
    return {task: np.array(values) for task, values in ranker(columns).items()}


def routing(ranker, prepared):
    """Which experts every row chooses."""
    core = ranker.get_layer("core")
    smes = core.get_layer("experts")
    probe = keras.Model(core.inputs, smes.route(smes.input))
    return {name: np.array(values) for name, values in probe(prepared.rows.head(10**9)[0]).items()}


def assert_as_good(mine, theirs):
    """The same shared experts, or in a near tie one as good: routers of another width round otherwise."""
    score_be = theirs["probabilities"].mean(axis=1)
    found, expected = (np.take_along_axis(score_be, r["shared_experts"], axis=1) for r in (mine, theirs))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def same_features(start, rows, tasks=None):
    """The rows prepared by the run's own vocabularies, so that nothing but what a test adds is new."""
    return prepare_for(start.schema, tasks or start.tasks, rows)


def test_with_nothing_new_it_goes_on_as_if_it_had_not_stopped(log, day):
    rows = log.between(None, day(1))
    config = RunConfig.from_dict(
        {
            "data": "simulated",
            "experts": {"num_experts": 4, "num_shared": 1, "expert_units": [4]},
            "encoder": {"units": [8]},
            "optimizer": {"schedule": "constant"},
            "training": {"epochs": 1, "loss_balance": "uncertainty"},
        }
    )
    fitted = fit_ranker(config, rows, verbose=0)
    start = WarmStart("it", fitted.ranker, config, fitted.schema, learned(fitted.model), "digest")
    prepared = start.prepare(rows)
    _, model = begun(start, prepared)
    assert start.describe()["new"] == {"rows": {}, "experts": 0, "tasks": []}
    # Ids that were too rare are unknown as before; and the same batch moves both to the same bits.
    assert prepared.schema == fitted.schema
    batch = prepared.rows.take(np.arange(64))
    for one in (model, fitted.model):
        one.train_step(batch)
    for mine, theirs in zip(model.variables, fitted.model.variables, strict=True):
        if "loss" not in mine.path and "steps_done" not in mine.path:
            assert np.array(mine).tobytes() == np.array(theirs).tobytes(), mine.path
    ours, others = learned(model), learned(fitted.model)
    assert {name: values.tobytes() for name, values in ours.items()} == {
        name: values.tobytes() for name, values in others.items()
    }


def test_known_ids_keep_their_rows_and_slots_and_new_ones_are_fresh(start, log, day):
    rows = log.between(day(3), day(3))
    known = start.schema["user_id"].vocabulary
    mixed = (900, *known[::-1], 901)  # whatever order it has
    features = [
        dataclasses.replace(feature, vocabulary=mixed) if feature.name == "user_id" else feature
        for feature in start.schema.features
    ]
    prepared = prepare_for(FeatureSchema(tuple(features)), start.tasks, rows)
    config = start.config
    birth = weights_by_name(new_model(config, prepared, 10)[0].get_layer("core"))
    birth = np.array(birth["embed_user_id/0"])
    ranker, model = begun(start, prepared)
    table = np.array(weights_by_name(model.core)["embed_user_id/0"])
    slot = np.array(slots_by_name(model)["slots/embed_user_id/0/accumulator"])
    old_table = np.array(weights_by_name(start.ranker.get_layer("core"))["embed_user_id/0"])
    old_slot = start.learned["slots/embed_user_id/0/accumulator"]
    assert old_slot.any()
    for row, user in enumerate(mixed, start=1):
        if user in known:
            was = 1 + known.index(user)
            np.testing.assert_array_equal(table[row], old_table[was])
            np.testing.assert_array_equal(slot[row], old_slot[was])
        else:
            np.testing.assert_array_equal(table[row], birth[row])
            assert not slot[row].any()
    np.testing.assert_array_equal(table[0], old_table[0])
    before, after = scores(start.ranker, rows), scores(ranker, rows)
    for task, values in before.items():
        np.testing.assert_array_equal(after[task], values)


def test_an_added_task_changes_no_output_of_the_old_ones(start, log):
    tasks = [start.tasks[0], BinaryTask("follow"), start.tasks[1]]
    prepared = same_features(start, dataclasses.replace(log, tasks=tuple(tasks)), tasks)
    weights = grown_task_weights(None, ["click", "like"], [task.name for task in tasks])
    ranker, model = begun(start, prepared, task_weights=weights)
    assert start.describe()["new"]["tasks"] == ["follow"]
    before, after = scores(start.ranker, log), scores(ranker, log)
    for task in ("click", "like"):
        np.testing.assert_allclose(after[task], before[task], rtol=0, atol=1e-6)
    theirs, mine = routing(start.ranker, prepared), routing(ranker, prepared)
    assert_as_good(mine, theirs)
    gates = mine["weights"][:, [0, 2]]
    same = ((gates > 0) == (theirs["weights"] > 0)).all(axis=(1, 2))
    assert same.mean() > 0.99, "what is left are near ties"
    np.testing.assert_allclose(gates[same], theirs["weights"][same], rtol=0, atol=1e-6)
    # The new task's router is the mean of the others', and its optimizer's state fresh.
    kernel = np.array(model.core.get_layer("experts").router.kernel)
    np.testing.assert_allclose(kernel[:, 1], kernel[:, [0, 2]].mean(axis=1), rtol=1e-6)
    index = [w.path for w in model.core.get_layer("experts").weights].index("experts/router/kernel")
    slot = np.array(slots_by_name(model)[f"slots/experts/{index}/momentum"])
    assert not slot[:, 1].any()
    assert slot[:, [0, 2]].any()


def test_with_equal_weights_an_added_task_would_change_them(start, log):
    """Why a new task begins with weight 0: the mean of logits has not the mean of probabilities."""
    tasks = [*start.tasks, BinaryTask("follow")]
    prepared = same_features(start, dataclasses.replace(log, tasks=tuple(tasks)), tasks)
    ranker, _ = begun(start, prepared)
    theirs, mine = routing(start.ranker, prepared), routing(ranker, prepared)
    assert (mine["shared_experts"] != theirs["shared_experts"]).any()


def test_added_experts_change_no_output_and_are_chosen_by_none(start, log):
    prepared = same_features(start, log)
    ranker, model = begun(start, prepared, num_experts=9)
    mine, theirs = routing(ranker, prepared), routing(start.ranker, prepared)
    assert not mine["union"][:, 6:].any()
    assert_as_good(mine, theirs)
    before, after = scores(start.ranker, log), scores(ranker, log)
    for task, values in before.items():
        np.testing.assert_allclose(after[task], values, rtol=0, atol=1e-6)
    pool = model.core.get_layer("experts").experts
    old_pool = start.ranker.get_layer("core").get_layer("experts").experts
    for new, old in zip(pool.kernels, old_pool.kernels, strict=True):
        new, old = np.array(new), np.array(old)
        np.testing.assert_array_equal(new[:6], old)
        spread = (new[6:] - old[:3]).std() / old.std()
        assert 0.03 < spread < 0.07  # copies, with noise


def test_no_h_chooses_a_closed_expert():
    rng = np.random.default_rng(5)
    for _ in range(20):
        kernel, h = rng.normal(size=(7, 3, 6)), rng.exponential(size=(500, 7)) * rng.integers(0, 2, (500, 7))
        closed = closed_columns(kernel, 4, h[:50], rng)
        np.testing.assert_array_equal(closed[:, :, :4], kernel[:, :, :4])
        logits = np.einsum("bd,dte->bte", h, closed)
        assert (logits[:, :, 4:] <= logits[:, :, :4].min(axis=2, keepdims=True) + 1e-9).all()


def test_experts_without_any_probability_change_no_bit():
    """What is left to change choices is the new experts' probability, and no order of summing up."""
    rng = np.random.default_rng(6)
    old, h = rng.normal(size=(16, 3, 16)), rng.exponential(size=(20_000, 16)).astype("float32")
    wide = np.concatenate([old, np.zeros((16, 3, 4))], axis=2)
    closed = closed_columns(wide, 16, h, rng, depth=10_000.0)

    def routed(kernel):
        router = SharedSubsetRouter(3, kernel.shape[2], num_shared=2)
        router.build(h.shape)
        router.kernel.assign(kernel)
        return {name: np.array(values) for name, values in PrivateExpertGate(1)(router(h)).items()}

    before, after = routed(old), routed(closed)
    assert not after["probabilities"][:, :, 16:].any()
    for name in ("shared_experts", "private_experts", "slot_weights"):
        np.testing.assert_array_equal(after[name], before[name])
    np.testing.assert_array_equal(after["probabilities"][:, :, :16], before["probabilities"])


def test_training_opens_new_experts(run, tmp_path, log, day):
    """With the balance loss; and new ids come in: all by `continue_run`, from a run's folder to another."""
    changes = {
        "experts": {"num_experts": 8, "balance_weight": 1.0},
        "optimizer": {"learning_rate": 0.02},
        "training": {"epochs": 12},
    }
    # The data set's usual tasks are six: four of them are new.
    metrics = continue_run(run, tmp_path / "second", changes, from_date=day(3))
    assert metrics["start"]["run"] == "first"
    assert metrics["start"]["new"]["experts"] == 2
    assert metrics["start"]["new"]["tasks"] == ["long_view", "comment", "follow", "forward"]
    assert metrics["start"]["new"]["rows"]["user_id"] > 0
    assert min(metrics["routing"]["expert_load"][6:]) > 0
    assert metrics["tasks"]["follow"]["rows"] == metrics["tasks"]["click"]["rows"]
    again = WarmStart.read(tmp_path / "second")
    assert again.config.experts["task_weights"] == [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    assert again.config.data_options["rates"] == ["click", "like"]
    assert evaluate_run(tmp_path / "second")["tasks"] == metrics["tasks"]
    steps = -(-metrics["training"]["rows"] // 64)
    assert again.first_step == metrics["start"]["first_step"] + 12 * steps


def test_the_schedule_begins_anew(start, log, day):
    prepared = same_features(start, log.between(day(3), day(3)))
    optimizer = OptimizerConfig(learning_rate=0.25, schedule="cosine")
    config = dataclasses.replace(start.config, optimizer=optimizer)
    _, model = new_model(config, prepared, 10, first_step=start.first_step)
    start.apply(prepared, model)
    assert start.first_step > 20
    assert float(model.optimizer.learning_rate) == 0.25


def test_what_can_not_go_on_is_refused(start, log, tmp_path, run):
    with pytest.raises(ValueError, match=r"missing=\['like'\]"):
        grow_tasks(start.tasks, [BinaryTask("click")], {})
    with pytest.raises(ValueError, match=r"changed=\['like'\]"):
        grow_tasks(start.tasks, [BinaryTask("click"), RegressionTask("like")], {})
    with pytest.raises(ValueError, match="`num_experts` must be at least 6"):
        begun(start, same_features(start, log), num_experts=4)
    low_rank = [SMES(2, count, 1, 1, (4,), router_rank=2) for count in (4, 6)]
    with pytest.raises(ValueError, match="Experts can be added where routers have no `router_rank`"):
        mixture_sources(*low_rank, start.tasks, start.tasks)
    normalised = build_ranker(start.schema, start.tasks, SMES(2, 4, 1, 1, (4,)), batch_norm=True)
    with pytest.raises(ValueError, match=r"ends in a ReLU.*batch_norm=True"):
        check_not_negative(normalised.get_layer("core"))
    layer = SharedBottom(2, (4,))
    with pytest.raises(ValueError, match="Tasks can be added to SMES"):
        mixture_sources(layer, layer, start.tasks, [*start.tasks, BinaryTask("follow")])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        WarmStart.read(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="`out` must be another folder"):
        continue_run(run, run)
    other = dataclasses.replace(simulate(rows=300), tasks=log.tasks)  # without statistics
    with pytest.raises(ValueError, match="differing="):
        start.prepare(other)
