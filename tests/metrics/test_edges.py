"""Numbers at the edges of floats, against exact fractions, `math.fsum` and scikit-learn."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from keras_smes import metrics
from keras_smes.metrics.exact_sums import exact_sums, rounded

# What the weights of a log may be: whole, of one size, of very different sizes among users and within one.
WEIGHTS = {
    "whole": lambda rng, users: rng.integers(1, 5, len(users)).astype(float),
    "fractions": lambda rng, users: rng.uniform(0.1, 1, len(users)),
    "one heavy user": lambda rng, users: np.where(users == 0, 1e16, rng.uniform(0.1, 1, len(users))),
    "one light user": lambda rng, users: np.where(users == 3, 1e-16, 1.0) * rng.uniform(0.1, 1, len(users)),
    "each of its own size": lambda rng, users: 10.0 ** (3 * users - 30) * rng.uniform(0.1, 1, len(users)),
    "sizes within a user": lambda rng, users: 10.0 ** rng.integers(-20, 20, len(users)),
    "tiny": lambda rng, users: rng.uniform(1e-200, 1e-199, len(users)),
    "huge": lambda rng, users: rng.uniform(1e199, 1e200, len(users)),
}


def rows(kind, count=240, seed=0):
    rng = np.random.default_rng(seed)
    users = rng.integers(0, 20, count)
    labels, scores = rng.integers(0, 2, count), rng.random(count).round(2)
    return labels, scores, users, WEIGHTS[kind](rng, users)


def concordance(labels, scores, weights):
    """Of one user, over pairs, in exact fractions."""
    won = every = Fraction(0)
    fractions = [Fraction(float(weight)) for weight in weights]
    for i in range(len(labels)):
        for j in range(len(labels)):
            if labels[i] > labels[j]:
                pair = fractions[i] * fractions[j]
                every += pair
                won += pair * ((scores[i] > scores[j]) + Fraction(int(scores[i] == scores[j]), 2))
    return float(won / every) if every else math.nan


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("function", [metrics.gauc, metrics.gxauc])
def test_the_weights_of_a_user_change_no_other(function, kind):
    labels, scores, users, weights = rows(kind)
    if function is metrics.gxauc:
        labels = np.random.default_rng(1).integers(0, 9, len(labels)) * 0.5
    by_user = [concordance(*(x[users == user] for x in (labels, scores, weights))) for user in range(20)]
    found = function(labels, scores, users, "mean", weights)
    assert found.value == pytest.approx(np.nanmean(by_user), rel=1e-13)
    assert found.users_used == np.isfinite(by_user).sum()
    totals = [math.fsum(weights[users == user]) for user in range(20)]
    expected = np.average(np.nan_to_num(by_user), weights=np.isfinite(by_user) * totals)
    assert function(labels, scores, users, "impressions", weights).value == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_auc_of_any_weights(kind):
    labels, scores, _, weights = rows(kind)
    expected = concordance(labels, scores, weights)
    assert metrics.auc(labels, scores, weights) == pytest.approx(expected, rel=1e-13)
    assert metrics.xauc(labels, scores, weights) == pytest.approx(expected, rel=1e-13)
    if kind in ("whole", "fractions"):
        assert metrics.auc(labels, scores, weights) == pytest.approx(
            roc_auc_score(labels, scores, sample_weight=weights), rel=1e-12
        )


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize(
    ("metric", "function"),
    [
        (metrics.LogLoss, metrics.log_loss),
        (metrics.PredictedOverObserved, metrics.predicted_over_observed),
        (
            metrics.ExpectedCalibrationError,
            lambda y, p, w: metrics.expected_calibration_error(y, p, weights=w),
        ),
    ],
)
def test_streamed_sums_are_those_of_weights_of_any_size(metric, function, kind):
    labels, scores, _, weights = rows(kind)
    streamed = metric()
    for start in range(0, len(labels), 50):
        part = slice(start, start + 50)
        streamed.update_state(labels[part], scores[part], weights[part])
    assert streamed.result() == pytest.approx(function(labels, scores, weights), rel=1e-13)


def test_streamed_log_loss_of_a_million_light_rows():
    labels = np.arange(10**6) % 2
    scores, weights = np.where(labels, 0.9, 0.2), np.full(10**6, 1e-8)
    metric = metrics.LogLoss()
    metric.update_state(labels, scores, weights)
    expected = -(math.log(0.9) + math.log(0.8)) / 2  # half of the rows each
    assert metric.result() == pytest.approx(expected, rel=1e-14)
    assert metric.result() == pytest.approx(sklearn_log_loss(labels, scores), rel=1e-12)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(-1e300, 1e300), max_size=40), st.integers(0, 40))
def test_sums_are_rounded_once(values, cut):
    values = np.array(values, np.float64)
    parts = (values[:cut], values[cut:])
    total = sum(exact_sums(part, np.zeros(len(part), np.intp), 1) for part in parts)
    assert rounded(total)[0] == math.fsum(values)


def test_sums_hold_what_floats_hold():
    values = np.array([5e-324, 1.7e308, -1.7e308, 2.0**-1060, -5e-324])
    bins = np.array([0, 1, 1, 1, 2])
    assert rounded(exact_sums(values, bins, 3)).tolist() == [5e-324, 2.0**-1060, -5e-324]
    large = exact_sums(np.array([1.7e308, 1.7e308, -1.7e308, -1.7e308]), np.array([0, 0, 1, 1]), 2)
    assert rounded(large).tolist() == [math.inf, -math.inf]


def ndcg_by_hand(labels, scores, k):
    """Of one user without ties; gains as whole numbers where labels are."""
    gains = [2 ** int(y) - 1 if float(y).is_integer() else math.expm1(float(y) * math.log(2)) for y in labels]
    top = [gains[row] for row in np.argsort(-np.asarray(scores))][:k]
    best = sorted(gains, reverse=True)[:k]
    dcg, ideal = (
        sum(Fraction(gain) * Fraction(1 / math.log2(place + 2)) for place, gain in enumerate(order))
        for order in (top, best)
    )
    return float(dcg / ideal)


@pytest.mark.parametrize("k", [None, 2])
@pytest.mark.parametrize(
    "labels",
    [
        [3, 1, 0, 2],
        [10, 150, 128, 0],
        [127, 128, 129, 200],
        [1000, 999, 1001, 1],
        [5000, 4990, 4995, 5001],
        [1e-9, 2e-9, 0, 3e-9],
        [1e-30, 2e-30, 5e-30, 3e-30],
    ],
)
def test_ndcg_of_any_relevance(labels, k):
    scores = [0.4, 0.3, 0.9, 0.1]
    expected = ndcg_by_hand(labels, scores, k)
    found = metrics.ndcg([*labels, 1, 0], [*scores, 0.2, 0.1], [7] * 4 + [8] * 2, k)
    assert found.users_used == 2
    assert found.value == pytest.approx((expected + 1) / 2, rel=1e-6)  # keras-rs counts in float32
    streamed = metrics.NDCG(k)
    streamed.update_state(np.array([*labels, 1, 0]), np.array([*scores, 0.2, 0.1]), users=[7] * 4 + [8] * 2)
    assert streamed.result() == found.value


@pytest.mark.parametrize("labels", [[-1.0, -2.0], [0.0, -2.0]])
def test_gxauc_by_positives_of_users_without_any_is_undefined(labels):
    found = metrics.gxauc(labels, [0.2, 0.1], [1, 1], reduction="positives")
    assert math.isnan(found.value)
    assert (found.users_used, found.rows_used) == (1, 2)
    streamed = metrics.GXAUC(reduction="positives")
    streamed.update_state(labels, [0.2, 0.1], users=[1, 1])
    assert math.isnan(streamed.result())
