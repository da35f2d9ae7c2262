import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from keras_smes.metrics import GroupedResult, auc, gauc, log_loss, ranking

REDUCTIONS = ["impressions", "mean", "positives"]


def rows(seed, count=400, num_users=150):
    """Rows with ties (one decimal), users of one class, and users of one row."""
    rng = np.random.default_rng(seed)
    users = (num_users * rng.random(count) ** 2).astype(int) * 7 - 3
    return rng.integers(0, 2, count), rng.normal(size=count).round(1), users


def gauc_by_loop(labels, scores, users, reduction):
    aucs, weights, left_out, rows_used = [], [], 0, 0
    for user in sorted(set(users.tolist())):
        mine = users == user
        if len(set(labels[mine].tolist())) < 2:
            left_out += 1
            continue
        aucs.append(sklearn_metrics.roc_auc_score(labels[mine], scores[mine]))
        weights.append({"impressions": mine.sum(), "mean": 1, "positives": labels[mine].sum()}[reduction])
        rows_used += int(mine.sum())
    value = sum(a * w for a, w in zip(aucs, weights, strict=True)) / sum(weights)
    return GroupedResult(pytest.approx(value, abs=1e-12), len(aucs), left_out, rows_used)


@pytest.mark.parametrize("seed", range(5))
def test_auc_equals_scikit_learn_with_ties(seed):
    labels, scores, _ = rows(seed)
    assert auc(labels, scores) == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores), abs=1e-12)


def test_auc_by_hand():
    # Pairs of a positive (0.3, 0.8) and a negative (0.1, 0.3): three in order, one tied.
    assert auc([0, 1, 0, 1], [0.1, 0.3, 0.3, 0.8]) == 3.5 / 4
    assert auc([1, 0], [0.2, 0.7]) == 0.0
    assert auc([True, False], [-5, -5]) == 0.5


@pytest.mark.parametrize("labels", [[], [1, 1], [0]])
def test_auc_without_both_classes_is_nan(labels):
    assert math.isnan(auc(labels, np.zeros(len(labels))))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("seed", range(4))
def test_gauc_equals_a_loop_over_users(seed, reduction):
    labels, scores, users = rows(seed)
    expected = gauc_by_loop(labels, scores, users, reduction)
    assert expected.users_left_out > 0, "the case must leave users out"
    assert gauc(labels, scores, users, reduction) == expected
    assert gauc(labels, scores, users.astype(str), reduction) == expected


@pytest.mark.parametrize(
    ("reduction", "value"),
    [("impressions", (1.0 * 2 + 0.5 * 4) / 6), ("mean", 0.75), ("positives", (1.0 * 1 + 0.5 * 2) / 3)],
)
def test_gauc_by_hand(reduction, value):
    labels = [1, 0, 1, 1, 0, 0, 1]
    scores = [2.0, 1.0, 0.9, 0.1, 0.8, 0.2, 5.0]  # user 4: 0.9 beats both, 0.1 beats none
    users = [3, 3, 4, 4, 4, 4, 5]
    assert gauc(labels, scores, users, reduction) == GroupedResult(pytest.approx(value, abs=1e-15), 2, 1, 6)


def test_gauc_weighs_impressions_unless_told_otherwise():
    data = rows(0)
    values = {reduction: gauc(*data, reduction).value for reduction in REDUCTIONS}
    assert len(set(values.values())) == 3
    assert gauc(*data).value == values["impressions"]


@pytest.mark.parametrize(("labels", "users"), [([], []), ([1, 1, 0], ["a", "a", "b"])])
def test_gauc_without_a_usable_user_is_nan_and_says_so(labels, users):
    result = gauc(labels, np.arange(len(labels)), users)
    assert math.isnan(result.value)
    assert (result.users_used, result.users_left_out, result.rows_used) == (0, len(set(users)), 0)


def with_loop_weights(labels, scores, users, weights, reduction):
    """The weighted GAUC by a loop over users and scikit-learn."""
    values, totals = [], []
    for user in sorted(set(users.tolist())):
        mine = users == user
        if len(set(labels[mine].tolist())) < 2:
            continue
        values.append(sklearn_metrics.roc_auc_score(labels[mine], scores[mine], sample_weight=weights[mine]))
        positives = (labels * weights)[mine].sum()
        totals.append({"impressions": weights[mine].sum(), "mean": 1, "positives": positives}[reduction])
    return np.average(values, weights=totals)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weights_equal_scikit_learn(reduction):
    labels, scores, users = rows(3)
    weights = np.random.default_rng(3).random(len(labels)) + 0.01
    expected = sklearn_metrics.roc_auc_score(labels, scores, sample_weight=weights)
    assert auc(labels, scores, weights) == pytest.approx(expected, abs=1e-12)
    expected = with_loop_weights(labels, scores, users, weights, reduction)
    assert gauc(labels, scores, users, reduction, weights).value == pytest.approx(expected, abs=1e-12)
    expected = sklearn_metrics.log_loss(labels, 1 / (1 + np.exp(-scores)), sample_weight=weights)
    assert log_loss(labels, 1 / (1 + np.exp(-scores)), weights) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_whole_weights_are_rows_given_many_times(reduction):
    labels, scores, users = rows(4)
    weights = np.random.default_rng(4).integers(0, 4, len(labels))
    again = [np.repeat(column, weights) for column in (labels, scores, users)]
    weighted = gauc(labels, scores, users, reduction, weights)
    repeated = gauc(*again, reduction)
    assert weighted.value == pytest.approx(repeated.value, abs=1e-12)
    assert (weighted.users_used, weighted.users_left_out) == (repeated.users_used, repeated.users_left_out)
    assert auc(labels, scores, weights) == pytest.approx(auc(*again[:2]), abs=1e-12)


def test_a_row_of_weight_zero_may_hold_anything():
    labels, scores, users, weights = [0, 1, np.nan], [0.1, 0.3, np.inf], [1, 1, 1], [2.0, 1.0, 0.0]
    assert auc(labels, scores, weights) == gauc(labels, scores, users, weights=weights).value == 1.0
    assert log_loss([0, 1, np.nan], [0.5, 0.5, 7], weights) == pytest.approx(math.log(2))


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 10**6), st.booleans())
def test_the_order_of_rows_changes_nothing(seed, weighted):
    labels, scores, users = rows(seed, count=40, num_users=5)
    rng = np.random.default_rng(seed)
    order, weights = rng.permutation(40), rng.random(40) if weighted else np.ones(40)
    shuffled = [column[order] for column in (labels, scores, users)]
    assert gauc(labels, scores, users, weights=weights) == gauc(*shuffled, weights=weights[order])
    assert auc(labels, scores, weights) == auc(*shuffled[:2], weights[order])


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 10**6))
def test_only_the_order_of_scores_within_a_user_matters(seed):
    labels, scores, users = rows(seed, count=40, num_users=5)
    shifted = np.exp(scores) + 1000.0 * users
    assert gauc(labels, scores, users) == gauc(labels, shifted, users)


def test_log_loss_equals_scikit_learn():
    labels, _, _ = rows(1)
    probabilities = np.random.default_rng(1).random(len(labels)).astype(np.float32)
    expected = sklearn_metrics.log_loss(labels, probabilities.astype(np.float64))
    assert log_loss(labels, probabilities) == pytest.approx(expected, rel=1e-12)


def test_log_loss_by_hand_and_clipped():
    assert log_loss([1, 0], [0.25, 0.5]) == pytest.approx((math.log(4) + math.log(2)) / 2)
    assert log_loss([1], [0.0]) == pytest.approx(-math.log(1e-7))
    assert log_loss([0], [1.0]) == pytest.approx(-math.log(1e-7))
    assert math.isnan(log_loss([], []))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: auc([0, 1, 1], [0.1, 0.2]), r"`labels`, `scores`.*\(3,\), scores\.shape=\(2,\)"),
        (lambda: auc([[0], [1]], [[0.1], [0.2]]), r"one dimension.*labels\.shape=\(2, 1\)"),
        (lambda: auc([0, 1, 2, 3], [0, 0, 0, 0]), r"`labels` must be 0 or 1\. Received: labels\[2\]=2\.0"),
        (lambda: auc([0, np.nan], [0, 0]), r"labels\[1\]=nan"),
        (lambda: auc([0, 1], [0.0, np.inf]), r"`scores` must be finite\. Received: scores\[1\]=inf"),
        (lambda: gauc([0, 1], [0, 1], [1]), r"`users`.*users\.shape=\(1,\)"),
        (lambda: gauc([0, 5], [0, 1], [1, 1]), r"labels\[1\]=5\.0"),
        (lambda: gauc([0, 1], [np.nan, 1], [1, 1]), r"scores\[0\]=nan"),
        (
            lambda: gauc([0, 1], [0, 1], [1, 1], "sum"),
            r"`reduction` must be one of \('impressions', 'mean', 'positives'\)\. Received: reduction='sum'",
        ),
        (lambda: log_loss([0, 1], [0.5]), r"`labels`, `probabilities`"),
        (lambda: log_loss([0, 1], [0.5, 1.5]), r"in \[0, 1\]\. Received: probabilities\[1\]=1\.5"),
        (lambda: log_loss([0, 1], [np.nan, 0.5]), r"probabilities\[0\]=nan"),
        (lambda: log_loss([0.5, 1], [0.5, 0.5]), r"labels\[0\]=0\.5"),
        (lambda: auc([0, 1], [0, 1], [1, -1]), r"`weights` must be finite and not negative.*weights\[1\]=-1"),
        (lambda: gauc([0, 1], [0, 1], [1, 1], weights=[np.nan, 1]), r"weights\[0\]=nan"),
        (lambda: log_loss([0, 1], [0.5, 0.5], [1]), r"weights\.shape=\(1,\)"),
    ],
)
def test_a_bad_argument_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_examples_run():
    result = doctest.testmod(ranking)
    assert result.attempted > 0
    assert result.failed == 0
