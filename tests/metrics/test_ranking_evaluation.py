import doctest

import keras
import numpy as np
import pytest

from keras_smes.metrics import (
    AUC,
    GAUC,
    LogLoss,
    RankingEvaluation,
    auc,
    gauc,
    log_loss,
    ranking_evaluation,
)

ROWS = 90


def rows(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, 4)).astype(np.float32)
    labels = {t: (x[:, i] + rng.normal(size=ROWS) > 0).astype("float32") for i, t in enumerate("ab")}
    return x, labels, rng.integers(0, 7, ROWS).astype(str), rng.random(ROWS)


def two_tasks(activation="sigmoid", **how):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, {t: keras.layers.Dense(1, activation, name=t)(inputs)[:, 0] for t in "ab"})
    model.compile("adam", {t: keras.losses.BinaryCrossentropy(activation is None) for t in "ab"}, **how)
    return model


@pytest.mark.parametrize("how", [{}, {"jit_compile": True}, {"run_eagerly": True}])
def test_figures_of_each_epoch_are_those_of_all_predictions(how):
    x, labels, users, weights = rows(0)
    model = two_tasks(**how)
    evaluation = RankingEvaluation(
        x, labels, {"a": [AUC(), GAUC("mean")], "b": [LogLoss()]}, users, {"b": weights}, batch_size=32
    )
    history = model.fit(x, labels, batch_size=16, epochs=2, callbacks=[evaluation], verbose=0).history
    scores = model.predict(x, verbose=0)
    expected = {
        "val_a_auc": auc(labels["a"], scores["a"]),
        "val_a_gauc": gauc(labels["a"], scores["a"], users, "mean").value,
        "val_b_log_loss": log_loss(labels["b"], scores["b"], weights),
    }
    assert {name for name in history if name.startswith("val_")} == set(expected)
    for name, value in expected.items():
        assert len(history[name]) == 2
        assert history[name][-1] == pytest.approx(value, abs=1e-6), name
    assert history["val_b_log_loss"][0] != history["val_b_log_loss"][1]


def test_outputs_may_be_logits_and_features_a_data_set():
    tf = pytest.importorskip("tensorflow")
    x, labels, users, _ = rows(1)
    model = two_tasks(activation=None)

    def to_scores(logits):
        return {task: keras.ops.sigmoid(values) for task, values in logits.items()}

    data = tf.data.Dataset.from_tensor_slices(x).batch(32)
    evaluation = RankingEvaluation(data, labels, {"b": [LogLoss(), GAUC()]}, users, to_scores=to_scores)
    evaluation.set_model(model)
    logits = model.predict(x, verbose=0)["b"]
    assert evaluation.measure() == {
        "b_log_loss": pytest.approx(log_loss(labels["b"], 1 / (1 + np.exp(-logits))), abs=1e-6),
        "b_gauc": pytest.approx(gauc(labels["b"], logits, users).value, abs=1e-12),
    }


def test_later_callbacks_may_monitor_its_figures():
    x, labels, users, _ = rows(2)
    evaluation = RankingEvaluation(x, labels, {"a": [GAUC()]}, users)
    stop = keras.callbacks.EarlyStopping("val_a_gauc", mode="max", min_delta=2.0)  # nothing gains 2
    history = two_tasks().fit(x, labels, epochs=5, callbacks=[evaluation, stop], verbose=0).history
    assert len(history["val_a_gauc"]) == 2


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"c": [AUC()]}, r"`metrics` must be of tasks with `labels`.*task 'c'"),
        ({"a": [GAUC(), GAUC("mean")]}, r"unique names per task.*task 'a' with \['gauc', 'gauc'\]"),
    ],
)
def test_a_bad_argument_is_named(metrics, message):
    x, labels, users, _ = rows(3)
    with pytest.raises(ValueError, match=message):
        RankingEvaluation(x, labels, metrics, users)


def test_the_example_runs():
    result = doctest.testmod(ranking_evaluation, extraglobs={"keras": keras})
    assert result.attempted > 0
    assert result.failed == 0


def listed_outputs(names):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [keras.layers.Dense(1, "sigmoid", name=name)(inputs) for name in names])
    model.compile("adam", loss=["binary_crossentropy"] * len(names))
    return model


def test_outputs_of_a_list_have_the_tasks_of_their_names():
    x, labels, users, _ = rows(3)
    model = listed_outputs(["b", "a"])
    evaluation = RankingEvaluation(x, labels, {"a": [AUC()], "b": [GAUC("mean")]}, users)
    history = model.fit(x, [labels["b"], labels["a"]], callbacks=[evaluation], verbose=0).history
    b, a = model.predict(x, verbose=0)
    assert history["val_a_auc"][0] == pytest.approx(auc(labels["a"], a[:, 0]), abs=1e-6)
    assert history["val_b_gauc"][0] == pytest.approx(
        gauc(labels["b"], b[:, 0], users, "mean").value, abs=1e-6
    )


def test_a_list_of_one_output_is_that_of_the_one_task():
    x, labels, _, _ = rows(3)
    evaluation = RankingEvaluation(x, {"a": labels["a"]}, {"a": [AUC()]})
    evaluation.set_model(listed_outputs(["other"]))
    assert 0 <= evaluation.measure()["a_auc"] <= 1


@pytest.mark.parametrize("names", [["a"], ["a", "c"], ["c", "d"]])
def test_outputs_that_say_no_task_are_refused_by_name(names):
    x, labels, _, _ = rows(3)
    evaluation = RankingEvaluation(x, labels, {"a": [AUC()], "b": [AUC()]})
    evaluation.set_model(listed_outputs(names))
    with pytest.raises(ValueError, match=rf"`to_scores`.*{len(names)} outputs.*'b'\]"):
        evaluation.measure()
