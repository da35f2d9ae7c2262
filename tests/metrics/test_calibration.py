import doctest
import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from keras_smes.metrics import (
    calibration,
    expected_calibration_error,
    predicted_over_observed,
    reliability_curve,
)


def rows(seed, count=2000):
    """Labels whose chance is the square of what is predicted."""
    rng = np.random.default_rng(seed)
    probabilities = rng.random(count)
    return (rng.random(count) < probabilities**2).astype(int), probabilities, rng.random(count)


def error_by_loop(labels, probabilities, weights, members):
    """The error over bins given as boolean masks."""
    total = 0.0
    for mine in members:
        if mine.any():
            observed = np.average(labels[mine], weights=weights[mine])
            predicted = np.average(probabilities[mine], weights=weights[mine])
            total += weights[mine].sum() / weights.sum() * abs(observed - predicted)
    return total


@pytest.mark.parametrize(("binning", "strategy"), [("width", "uniform"), ("mass", "quantile")])
@pytest.mark.parametrize("num_bins", [1, 5, 20])
def test_the_curve_equals_scikit_learn(binning, strategy, num_bins):
    labels, probabilities, _ = rows(num_bins)
    observed, predicted = calibration_curve(labels, probabilities, n_bins=num_bins, strategy=strategy)
    curve = reliability_curve(labels, probabilities, num_bins, binning)
    np.testing.assert_allclose(curve.observed, observed, rtol=1e-12)
    np.testing.assert_allclose(curve.predicted, predicted, rtol=1e-12)
    assert curve.weight.sum() == len(labels)
    if binning == "mass":
        assert set(curve.weight) == {len(labels) / num_bins}


def test_the_error_of_equal_width_equals_a_loop():
    labels, probabilities, weights = rows(1)
    probabilities = probabilities.round(1)  # on the edges, which belong to the lower bin
    members = [(probabilities <= 0.25)] + [
        (probabilities > low) & (probabilities <= low + 0.25) for low in (0.25, 0.5, 0.75)
    ]
    expected = error_by_loop(labels, probabilities, weights, members)
    assert expected > 0.05
    assert expected_calibration_error(labels, probabilities, 4, weights=weights) == pytest.approx(expected)


def test_the_error_of_equal_mass_equals_a_loop():
    labels, probabilities, _ = rows(2, 400)
    parts = np.array_split(np.argsort(probabilities), 8)
    members = [np.isin(np.arange(400), part) for part in parts]
    expected = error_by_loop(labels, probabilities, np.ones(400), members)
    assert expected_calibration_error(labels, probabilities, 8, "mass") == pytest.approx(expected)


def test_rows_of_one_probability_share_a_bin_of_equal_mass():
    # Of ten rows, those of 0.2 begin at the first, 0.5 at the seventh: bins 0 and 1 of 2.
    probabilities = np.array([0.2] * 6 + [0.5] * 4)
    curve = reliability_curve([1, 0] * 5, probabilities, 2, "mass")
    assert curve.weight.tolist() == [6, 4]
    assert reliability_curve([1, 0] * 5, np.full(10, 0.2), 2, "mass").weight.tolist() == [10, 0]


def test_by_hand():
    # Bins [0, 0.5] and (0.5, 1]: 1 of 3 against 0.3, 1 of 1 against 0.9.
    error = expected_calibration_error([0, 0, 1, 1], [0.1, 0.3, 0.5, 0.9], num_bins=2)
    assert error == pytest.approx(3 / 4 * (1 / 3 - 0.3) + 1 / 4 * 0.1)
    assert predicted_over_observed([1, 0, 0, 1], [0.9, 0.5, 0.3, 0.8]) == pytest.approx(1.25)
    assert predicted_over_observed([10.0, 20.0], [30.0, 15.0], [1, 2]) == pytest.approx(60 / 50)


def test_empty_bins_and_no_rows_are_nan():
    curve = reliability_curve([1], [0.95], 3)
    assert [math.isnan(x) for x in curve.observed] == [True, True, False]
    assert math.isnan(expected_calibration_error([], []))
    assert math.isnan(expected_calibration_error([], [], binning="mass"))
    assert math.isnan(predicted_over_observed([], []))
    assert math.isnan(predicted_over_observed([0, 0], [0.1, 0.2]))


def test_a_row_of_weight_zero_may_hold_anything():
    assert predicted_over_observed([1, np.nan], [0.5, np.inf], [1, 0]) == 0.5
    assert expected_calibration_error([1, np.nan], [0.5, 7], weights=[1, 0]) == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: predicted_over_observed([1], [np.nan]),
            r"`predictions` must be finite.*predictions\[0\]=nan",
        ),
        (lambda: predicted_over_observed([1], [1], [-2]), r"weights\[0\]=-2"),
        (lambda: expected_calibration_error([2], [0.5]), r"`labels` must be 0 or 1.*labels\[0\]=2"),
        (lambda: expected_calibration_error([1], [np.nan]), r"probabilities\[0\]=nan"),
        (lambda: expected_calibration_error([1], [1.5]), r"`probabilities` must be in \[0, 1\].*=1\.5"),
        (lambda: expected_calibration_error([1], [0.5], 0), r"`num_bins` .*num_bins=0"),
        (lambda: expected_calibration_error([1], [0.5], 5, "count"), r"`binning` must be one of .*'count'"),
        (lambda: reliability_curve([1, 0], [0.5]), r"probabilities\.shape=\(1,\)"),
    ],
)
def test_a_bad_argument_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_examples_run():
    result = doctest.testmod(calibration)
    assert result.attempted > 0
    assert result.failed == 0
