"""Losses and scores of each kind, against numbers worked out by hand and against what they estimate."""

import math

import numpy as np
import pytest
from keras import ops
from support.backends import assert_close, evaluate, gradients

from keras_smes.tasks import BinaryTask, OrdinalTask, RegressionTask, WeightedLogisticTask

LN2, LN3 = math.log(2), math.log(3)


def score(task, logits):
    return evaluate(task.score, np.asarray(logits, "float32"))


def row_losses(task, labels, logits):
    return evaluate(task.row_losses, np.asarray(labels, "float32"), np.asarray(logits, "float32"))


# --- binary


def test_binary():
    task = BinaryTask("click")
    assert_close(score(task, [0, LN3, -LN3]), [0.5, 0.75, 0.25], 1e-6)
    assert_close(row_losses(task, [1, 1, 0], [0, LN3, LN3]), [LN2, math.log(4 / 3), math.log(4)], 1e-6)


def test_a_confident_binary_mistake_keeps_its_loss_and_its_gradient():
    logits = np.array([60.0, -60.0, 60.0, -60.0], "float32")
    labels = np.array([0.0, 1.0, 1.0, 0.0], "float32")
    assert_close(row_losses(BinaryTask("click"), labels, logits), [60, 60, 0, 0], 1e-6)
    (slope,) = gradients(
        lambda x: ops.sum(BinaryTask("click").row_losses(ops.convert_to_tensor(labels), x[0])), [logits]
    )
    assert_close(slope, [1, -1, 0, 0], 1e-6)


# --- regression


def test_regression_on_the_logarithm():
    task = RegressionTask("watch", mean=1.0, std=2.0)
    # log1p(e^2 - 1) = 2 is 0.5 standard deviations above the mean; 2 - 0.5 = 1.5.
    assert_close(row_losses(task, [math.expm1(2), math.expm1(2)], [2, 0.5]), [2.25, 0], 1e-6)
    assert_close(score(task, [2, 0.5, -0.5]), [math.expm1(5), math.expm1(2), 0], 1e-6)


def test_the_logarithms_score_is_never_negative_nor_infinite():
    found = score(RegressionTask("watch"), [-5, -1e30, 1e30])
    assert found[:2].tolist() == [0, 0]
    assert np.isfinite(found[2])


def test_regression_on_the_number_itself():
    task = RegressionTask("watch", transform="identity", mean=10.0, std=4.0)
    assert_close(row_losses(task, [2, 10], [0, 1]), [4, 1], 1e-6)
    assert score(task, [-3, 0]).tolist() == [-2, 10]


def test_huber_is_squared_below_its_size_and_linear_above():
    task = RegressionTask("watch", transform="identity", huber=1.0)
    assert_close(row_losses(task, [0, 0, 0, 0], [0.5, 1, 3, -3]), [0.25, 1, 5, 5], 1e-6)


def test_regression_takes_its_moments_from_the_rows_that_count():
    labels = {"watch": np.array([np.nan, 0, math.expm1(4), 99]), "click": np.array([1, 1, 1, 0])}
    fitted = RegressionTask("watch", condition="click").fit(labels)
    assert (fitted.mean, fitted.std) == (pytest.approx(2), pytest.approx(2))
    assert RegressionTask("watch", mean=1.0).fit({"watch": [0.0, math.expm1(4)]}).mean == 1.0
    assert RegressionTask("watch").fit({"watch": [0.0, 0.0]}).std == 1.0
    with pytest.raises(ValueError, match="'watch' needs rows that count"):
        RegressionTask("watch").fit({"watch": [np.nan]})


# --- watch time as odds


@pytest.mark.parametrize(
    ("negatives", "losses"),
    [
        # p = 3/4; watched 20 in units of 10: 2 * -ln(3/4); as a negative: -ln(1/4).
        ("unwatched", [2 * math.log(4 / 3), math.log(4)]),
        ("all", [2 * math.log(4 / 3) + math.log(4), math.log(4)]),
    ],
)
def test_weighted_logistic(negatives, losses):
    task = WeightedLogisticTask("watch", negatives=negatives, unit=10.0)
    assert_close(row_losses(task, [20, 0], [LN3, LN3]), losses, 1e-6)
    assert_close(score(task, [LN3, 0, -LN2]), [30, 10, 5], 1e-6)


@pytest.mark.parametrize(("negatives", "odds"), [("unwatched", 40 / 2), ("all", 40 / 4)])
def test_the_loss_of_rows_alike_is_least_at_the_odds(negatives, odds):
    """Four rows, watched 30 and 10 and not at all: E[y] / P(y = 0) is 10 / (1/2), E[y] is 10."""
    task = WeightedLogisticTask("watch", negatives=negatives)
    watched = np.array([30, 10, 0, 0], "float32")
    logits = np.full(4, math.log(odds), "float32")
    (slope,) = gradients(lambda x: ops.sum(task.row_losses(ops.convert_to_tensor(watched), x[0])), [logits])
    assert abs(slope.sum()) < 1e-5
    assert np.abs(slope).max() > 0.1
    assert_close(score(task, logits), np.full(4, odds), 1e-6)


def test_odds_stay_finite():
    found = score(WeightedLogisticTask("watch", unit=1000.0), [1e30, -1e30])
    assert np.isfinite(found).all()
    assert found[1] == 0


def test_the_unit_is_the_mean_of_the_rows_that_count():
    labels = {"watch": np.array([np.nan, 0, 30, 99]), "click": np.array([1, 1, 1, 0])}
    fitted = WeightedLogisticTask("watch", condition="click").fit(labels)
    assert fitted.unit == 15
    assert WeightedLogisticTask("watch", unit=2.0).fit({"watch": [8.0]}).unit == 2
    with pytest.raises(ValueError, match=r"'watch' needs watched rows.*2 rows of 0"):
        WeightedLogisticTask("watch").fit({"watch": [0.0, 0.0, np.nan]})


# --- ordinal


# softplus(ln 2) = ln 3, so z = (0, -ln 3): the thresholds are reached with 1/2 and 1/4.
HALF_AND_QUARTER = [[0, LN2]]


def test_ordinal():
    task = OrdinalTask("stars", thresholds=(2, 4))
    losses = row_losses(task, [1, 3.5, 4], HALF_AND_QUARTER * 3)
    assert_close(losses, [LN2 + math.log(4 / 3), LN2 + math.log(4 / 3), LN2 + math.log(4)], 1e-6)
    assert_close(score(task, HALF_AND_QUARTER), [0.75], 1e-6)


def test_an_ordinal_score_is_the_expected_value():
    task = OrdinalTask("stars", thresholds=(2, 4), values=(1, 2, 4))
    # Levels have 1/2, 1/4 and 1/4: 1/2 * 1 + 1/4 * 2 + 1/4 * 4.
    assert_close(score(task, HALF_AND_QUARTER), [2.0], 1e-6)


def test_a_level_is_reached_at_its_threshold():
    task = OrdinalTask("stars", thresholds=(2, 4), values=(1, 3, 9))
    labels = {"stars": np.array([1.9, 2, 3.9, 4, 100, np.nan])}
    assert task.levels(labels).tolist() == [0, 1, 1, 2, 2, 0]
    assert task.observed(labels).tolist() == [1, 3, 3, 9, 9, 1]
    reached = row_losses(task, labels["stars"][:5], np.tile([[30.0, -30.0]], (5, 1)))
    assert (reached < 1e-6).tolist() == [False, False, False, True, True]


def test_probabilities_of_reaching_fall_with_the_threshold_for_any_tower():
    task = OrdinalTask("stars", thresholds=(1, 2, 3, 4, 5))
    drawn = (100 * np.random.default_rng(1).normal(size=(200, 5))).astype("float32")
    assert (np.diff(evaluate(task.reach_logits, drawn), axis=1) <= 0).all()
    found = score(task, drawn)
    assert ((found >= 0) & (found <= 5)).all()


def test_one_threshold_is_a_binary_task():
    task, logits = OrdinalTask("stars", thresholds=(3,)), np.array([-1.0, 0.5], "float32")
    assert task.width == 1
    assert_close(score(task, logits), score(BinaryTask("high"), logits), 1e-6)
    expected = row_losses(BinaryTask("high"), [0, 1], logits)
    assert_close(row_losses(task, [2.9, 3], logits), expected, 1e-6)
