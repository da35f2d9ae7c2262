import doctest
import itertools
import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.backends import TENSORFLOW

from keras_smes import metrics
from keras_smes.metrics import (
    AUC,
    GAUC,
    GXAUC,
    NDCG,
    XAUC,
    ExpectedCalibrationError,
    LogLoss,
    PredictedOverObserved,
    streaming_metrics,
)

# Each metric, its function of (labels, scores, users, weights), and how near they are.
OF_EVENTS = [
    (AUC, lambda y, s, u, w: metrics.auc(y, s, w), 0),
    (GAUC, lambda y, s, u, w: metrics.gauc(y, s, u, weights=w).value, 0),
    (XAUC, lambda y, s, u, w: metrics.xauc(y, s, w), 0),
    (GXAUC, lambda y, s, u, w: metrics.gxauc(y, s, u, weights=w).value, 0),
    (LogLoss, lambda y, s, u, w: metrics.log_loss(y, s, w), 1e-14),
    (PredictedOverObserved, lambda y, s, u, w: metrics.predicted_over_observed(y, s, w), 1e-13),
    (ExpectedCalibrationError, lambda y, s, u, w: metrics.expected_calibration_error(y, s, weights=w), 1e-13),
]
MADE = [made for made, _, _ in OF_EVENTS]


def rows(seed, count=60, weighted=True):
    rng = np.random.default_rng(seed)
    weights = rng.random(count) * (rng.random(count) < 0.8) if weighted else np.ones(count)
    labels, scores = rng.integers(0, 2, count), rng.random(count).round(1).astype(np.float32)
    return labels, scores, weights, rng.integers(0, 6, count)


def fed(made, *batches):
    metric = made()
    for batch in batches:
        metric.update_state(*batch)
    return metric


def same(left, right):
    return left == right or (math.isnan(left) and math.isnan(right))


@pytest.mark.parametrize(("made", "function", "near"), OF_EVENTS, ids=lambda x: getattr(x, "__name__", ""))
@settings(deadline=None, max_examples=25)  # a shared machine may stall
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 60),
    weighted=st.booleans(),
    cuts=st.lists(st.integers(0, 60), max_size=5),
)
def test_no_split_into_batches_or_workers_changes_a_bit(made, function, near, seed, count, weighted, cuts):
    columns = rows(seed, count, weighted)
    bounds = [0, *sorted(min(cut, count) for cut in cuts), count]
    parts = [[column[i:j] for column in columns] for i, j in itertools.pairwise(bounds)]
    whole = fed(made, columns).result()
    assert same(fed(made, *parts).result(), whole)
    workers = [fed(made, part) for part in reversed(parts)]
    merged = made()
    merged.merge_state(workers)
    assert same(merged.result(), whole)
    gathered = made()
    for worker in workers:
        gathered.add_state(worker.state())
    assert same(gathered.result(), whole)
    labels, scores, weights, users = columns
    assert whole == pytest.approx(function(labels, scores, users, weights), abs=near, nan_ok=True)


@pytest.mark.parametrize("made", MADE)
def test_the_result_is_repeatable_and_reset_forgets(made):
    metric = fed(made, rows(0))
    first = metric.result()
    assert metric.result() == first
    metric.update_state(*rows(1))
    assert metric.result() != first
    metric.reset_state()
    assert math.isnan(metric.result())
    metric.update_state(*rows(0))
    assert metric.result() == first


@pytest.mark.parametrize("made", MADE)
def test_nothing_and_a_single_row(made):
    assert math.isnan(made().result())
    empty = [column[:0] for column in rows(0)]
    assert math.isnan(fed(made, empty).result())
    one = fed(made, [np.array(x) for x in ([1], [0.25], [1.0], [7])]).result()
    expected = {LogLoss: math.log(4), PredictedOverObserved: 0.25, ExpectedCalibrationError: 0.75}
    assert one == pytest.approx(expected.get(made, math.nan), nan_ok=True)


@pytest.mark.parametrize("reduction", ["impressions", "mean", "positives"])
def test_users_of_one_class_are_counted_wherever_their_rows_lie(reduction):
    # Ann's classes lie with two workers; bob has one class; cy one row.
    first, second = GAUC(reduction), GAUC(reduction)
    first.update_state([1, 0, 0], [0.4, 0.1, 0.3], users=["ann", "bob", "bob"])
    assert first.details() == metrics.GroupedResult(pytest.approx(math.nan, nan_ok=True), 0, 2, 0)
    second.update_state([0, 0, 1], [0.2, 0.9, 0.5], users=["ann", "ann", "cy"])
    first.merge_state([second])
    assert first.details() == metrics.GroupedResult(0.5, 1, 2, 3)
    assert second.details().users_left_out == 2


def test_users_may_stand_beside_the_label():
    labels, scores, weights, users = rows(3)
    beside = np.stack([labels, users], axis=1)
    expected = fed(GAUC, rows(3)).result()
    for y_true in (beside, beside.astype(np.float32), keras.ops.convert_to_tensor(beside)):
        assert fed(GAUC, (y_true, scores[:, None], weights[:, None])).result() == expected


def test_ids_of_64_bits_stay_apart():
    users = np.array([2**62, 2**62, 2**62 + 1, 2**62 + 1])
    metric = GAUC()
    metric.update_state([1, 0, 1, 0], [0.1, 0.2, 0.4, 0.3], users=users)
    assert metric.details().users_used == 2


@pytest.mark.parametrize("made", [GAUC, GXAUC])
def test_tensors_are_taken_as_arrays_are(made):
    labels, scores, weights, users = rows(4)
    tensors = [keras.ops.convert_to_tensor(x) for x in (labels, scores, weights.astype("float32"), users)]
    assert (
        fed(made, tensors).result() == fed(made, (labels, scores, weights.astype("float32"), users)).result()
    )


@pytest.mark.parametrize("made", [GAUC, LogLoss])
def test_the_callers_arrays_may_be_used_again(made):
    columns = [column.copy() for column in rows(6)]
    metric, expected = fed(made, columns), fed(made, rows(6)).result()
    state, other = metric.state(), made()
    other.add_state(copied := {name: array.copy() for name, array in state.items()})
    for array in (*columns, *copied.values()):
        array[...] = 0
    assert metric.result() == other.result() == expected


def test_float32_rows_are_kept_as_float32():
    state = fed(AUC, (np.ones(3, np.float32), np.ones(3, np.float32))).state()
    assert (state["labels"].dtype, state["scores"].dtype) == (np.float32, np.float32)


def test_ndcg_of_rows_in_any_batches():
    labels, scores, _, users = rows(5)
    metric = NDCG(k=4)
    for i in range(0, 60, 7):
        metric.update_state(labels[i : i + 7], scores[i : i + 7], users=users[i : i + 7])
    assert metric.details() == metrics.ndcg(labels, scores, users, k=4)


GOOD = ([0, 1], [0.5, 0.5])


@pytest.mark.parametrize(
    ("made", "batch", "message"),
    [
        (AUC, ([0, 1], [0.5, np.nan]), r"`y_pred` must be finite\. Received: y_pred\[1\]=nan"),
        (AUC, ([0, 2], [0.5, 0.5]), r"`y_true` must be 0 or 1\. Received: y_true\[1\]=2"),
        (AUC, ([0, 1], [0.5]), r"y_pred\.shape=\(1,\)"),
        (AUC, ([[0, 1]], [[0.5, 0.5]]), r"one dimension .*y_true\.shape=\(1, 2\)"),
        (AUC, (*GOOD, [1, -1]), r"`sample_weight` must be finite and not negative.*sample_weight\[1\]=-1"),
        (XAUC, ([np.nan, 1], [0.5, 0.5]), r"y_true\[0\]=nan"),
        (LogLoss, ([0, 1], [0.5, 1.5]), r"`y_pred` must be in \[0, 1\]\. Received: y_pred\[1\]=1\.5"),
        (
            PredictedOverObserved,
            ([1.0, 1e200], [0.5, 0.5], [1, 1e200]),
            r"Weighted values must be finite\. Received: inf at row 1",
        ),
        (ExpectedCalibrationError, ([0, 1], [0.5, np.nan]), r"y_pred\[1\]=nan"),
        (PredictedOverObserved, ([0, 1], [0.5, np.inf]), r"y_pred\[1\]=inf"),
        (GAUC, GOOD, r"`users` must be given, or stand beside the label.*y_true of shape \(2,\)"),
        (GAUC, (*GOOD, None, [1]), r"users\.shape=\(1,\)"),
        (
            GAUC,
            (np.array([[0, 2**24], [1, 3]], "float32"), [0.5, 0.5]),
            r"Users beside labels of float32 must be under 16777216.*y_true\[0, 1\]=16777216",
        ),
    ],
)
def test_a_bad_batch_is_refused_and_counts_for_nothing(made, batch, message):
    metric = fed(made, rows(0))
    before = metric.result()
    with pytest.raises(ValueError, match=message):
        metric.update_state(*batch)
    assert metric.result() == before


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GAUC("sum"), r"reduction='sum'"),
        (lambda: ExpectedCalibrationError(0), r"`num_bins` .*num_bins=0"),
        (lambda: ExpectedCalibrationError(num_bins=1.5), r"num_bins=1\.5"),
        (lambda: AUC().merge_state([GAUC()]), r"`metrics` must be of AUC\. Received: <GAUC name=gauc>"),
        (lambda: ExpectedCalibrationError(3).merge_state([ExpectedCalibrationError(4)]), r"`state` must be"),
        (lambda: AUC().add_state(GAUC().state()), r"`state` must be that of <AUC name=auc>"),
        (lambda: AUC().add_state(dict.fromkeys(("labels", "scores"), np.zeros(2))), r"`state` must be"),
        (
            lambda: AUC().add_state({"labels": np.zeros(2), "scores": np.zeros(2), "weights": np.zeros(3)}),
            r"`state` must be",
        ),
    ],
)
def test_a_bad_argument_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("made", [*MADE, NDCG])
def test_the_configuration_is_whole(made):
    arguments = {GAUC: {"reduction": "mean"}, ExpectedCalibrationError: {"num_bins": 3}, NDCG: {"k": 2}}
    metric = made(**arguments.get(made, {}), name="other")
    config = keras.saving.serialize_keras_object(metric)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is made
    assert again.get_config() == metric.get_config()
    assert all(again.get_config()[name] == value for name, value in arguments.get(made, {}).items())


def model_of(outputs=1):
    inputs = keras.Input((4,))
    units = [keras.layers.Dense(1, activation="sigmoid", name=f"out_{i}")(inputs) for i in range(outputs)]
    return keras.Model(inputs, units[0] if outputs == 1 else dict(enumerate_names(units)))


def enumerate_names(units):
    return ((f"out_{i}", unit) for i, unit in enumerate(units))


def features(seed, count=70):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4)).astype(np.float32)
    return x, (x[:, :1] + rng.normal(size=(count, 1)) > 0).astype(np.float32), rng.random(count)


@pytest.mark.parametrize("how", [{}, {"run_eagerly": True}, {"steps_per_execution": 2}])
def test_compiled_metrics_equal_the_functions_of_all_predictions(how):
    if not TENSORFLOW and "run_eagerly" not in how:
        how = {**how, "jit_compile": True}
    x, y, w = features(0)
    model = model_of()
    made = [AUC, LogLoss, ExpectedCalibrationError, XAUC]
    weighted = [AUC(name="weighted_auc")]
    model.compile("sgd", "binary_crossentropy", metrics=[m() for m in made], weighted_metrics=weighted, **how)
    history = model.fit(x, y, batch_size=16, epochs=2, validation_data=(x, y, w), verbose=0).history
    scores, labels = model.predict(x, verbose=0)[:, 0], y[:, 0]
    found = model.evaluate(x, y, batch_size=16, sample_weight=w, verbose=0, return_dict=True)
    expected = {
        "auc": metrics.auc(labels, scores),
        "log_loss": metrics.log_loss(labels, scores),
        "expected_calibration_error": metrics.expected_calibration_error(labels, scores),
        "xauc": metrics.xauc(labels, scores),
        "weighted_auc": metrics.auc(labels, scores, w),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-5), name
        assert history[f"val_{name}"][-1] == pytest.approx(value, abs=1e-5), name
        assert 0 < history[name][-1] < 2, name


def test_compiled_by_user_with_users_beside_the_labels():
    x, y, _ = features(1)
    users = np.arange(70) % 9
    model = model_of()
    model.compile(loss=lambda y_true, y_pred: keras.ops.mean(y_pred), metrics=[GAUC()])
    found = model.evaluate(x, np.stack([y[:, 0], users], 1), batch_size=16, verbose=0, return_dict=True)
    expected = metrics.gauc(y[:, 0], model.predict(x, verbose=0)[:, 0], users)
    assert found["gauc"] == pytest.approx(expected.value, abs=1e-12)


def test_compiled_of_several_outputs():
    x, y, _ = features(2)
    model = model_of(outputs=2)
    labels = {"out_0": y, "out_1": 1 - y}
    model.compile(loss="binary_crossentropy", metrics={"out_0": [AUC()], "out_1": [AUC(), LogLoss()]})
    found = model.evaluate(x, labels, batch_size=16, verbose=0, return_dict=True)
    scores = model.predict(x, verbose=0)
    for name, of_output in labels.items():
        expected = metrics.auc(of_output[:, 0], scores[name][:, 0])
        assert found[f"{name}_auc"] == pytest.approx(expected, abs=1e-12)


def test_a_nan_score_is_refused_in_a_compiled_step():
    x, y, _ = features(3)
    x[40] = np.nan
    model = model_of()
    model.compile(loss="binary_crossentropy", metrics=[AUC()])
    with pytest.raises(Exception, match="`y_pred` must be finite"):
        model.evaluate(x, y, batch_size=16, verbose=0)


@pytest.mark.tensorflow
def test_xla_on_tensorflow_is_refused_with_what_to_do():
    x, y, _ = features(4)
    model = model_of()
    model.compile(loss="binary_crossentropy", metrics=[AUC()], jit_compile=True)
    with pytest.raises(NotImplementedError, match=r"`jit_compile=False`, or .*`RankingEvaluation`"):
        model.evaluate(x, y, verbose=0)


def test_the_examples_run():
    result = doctest.testmod(streaming_metrics)
    assert result.attempted > 0
    assert result.failed == 0
