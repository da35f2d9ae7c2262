"""A column that is constant has no scale, however its moments were rounded; a small spread is one."""

import math

import numpy as np
import pytest
from support.backends import evaluate

from keras_smes.features.layers.standardize import Standardize
from keras_smes.features.numbers import Number
from keras_smes.moments import nonzero_std
from keras_smes.tasks import RegressionTask

CONSTANTS = [0.0, 3.0, 6.0, 14.62, 0.1, 1e-30, 1.7e9, 1e30, -5.3]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("rows", [3, 1000, 100_003])
def test_a_constant_column_is_left_at_its_scale(constant, log, rows):
    values = np.full(rows, constant, "float32")
    unfitted = Number("x", log=log)
    streamed = unfitted.moments()
    for part in np.array_split(values, 7):
        streamed.add(part)
    for number in (unfitted.fit(values), unfitted.with_moments(streamed)):
        expected = math.log1p(max(values[0], 0)) if log else float(values[0])
        assert number.mean == pytest.approx(expected, rel=1e-12)
        assert number.std == 1.0


@pytest.mark.parametrize("constant", CONSTANTS[:-1])
@pytest.mark.parametrize("transform", ["log1p", "identity"])
def test_constant_labels_are_left_at_their_scale(constant, transform):
    labels = {"y": np.full(1000, constant, "float32")}
    assert RegressionTask("y", transform=transform).fit(labels).std == 1.0
    assert RegressionTask("y", transform=transform, mean=1.0).fit(labels).std == 1.0


def test_noise_of_float64_in_a_constant_column_is_no_spread():
    values = np.array([0.1 + 0.2, 0.3] * 50)  # they differ in the last digit
    assert Number("x").fit(values).std == 1.0


@pytest.mark.parametrize(
    ("mean", "spread"), [(0.0, 1e-30), (1.0, 1e-6), (1e6, 1.0), (1.7e9, 3600.0), (-40.0, 1e-4)]
)
def test_a_small_spread_is_kept(mean, spread):
    values = mean + spread * np.array([-1.0, 1.0] * 500)
    assert nonzero_std(mean, spread) == spread
    assert Number("x").fit(values).std == pytest.approx(spread, rel=1e-6)


def test_a_served_number_beside_a_constant_column_stays_small():
    number = Number("x", log=True).fit(np.full(1000, 6.0, "float32"))
    layer = Standardize([True], [number.mean], [number.std])
    served = evaluate(layer, np.array([[6.0], [math.expm1(number.mean + 1)]], "float32"))
    np.testing.assert_allclose(served, [[0.0], [1.0]], atol=1e-6)


def test_a_deviation_of_rounding_that_was_fitted_before_counts_as_none():
    layer = Standardize([False], [14.62], [3.6e-15])
    np.testing.assert_allclose(
        evaluate(layer, np.array([[14.62], [15.62]], "float32")), [[0], [1]], atol=1e-6
    )
    task = RegressionTask("y", transform="identity", mean=14.62, std=3.6e-15)
    losses = evaluate(task.row_losses, np.array([15.62], "float32"), np.zeros(1, "float32"))
    np.testing.assert_allclose(losses, [1.0], rtol=1e-5)
    np.testing.assert_allclose(evaluate(task.score, np.ones(1, "float32")), [15.62], rtol=1e-6)
