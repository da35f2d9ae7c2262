"""Means, spreads and paired intervals against values worked out by hand or by going through all draws."""

import itertools

import numpy as np
import pytest

from keras_smes.experiments import paired_difference
from keras_smes.experiments.bootstrap import mean_and_spread


def test_mean_and_spread_by_hand():
    mean, spread = mean_and_spread([1.0, 2.0, 6.0])
    assert mean == 3.0
    assert spread == pytest.approx(((4 + 1 + 9) / 2) ** 0.5)


def test_one_value_has_no_spread():
    assert mean_and_spread([0.5]) == (0.5, None)


def test_difference_is_of_pairs():
    difference = paired_difference([0.75, 0.5, 0.25], [0.5, 0.25, 0.0])
    assert difference == (0.25, 0.25, 0.25, 3)  # every pair differs alike: no draw changes that


def test_interval_against_all_draws():
    values, reference = np.array([3.0, 1.0, 4.0, 1.5]), np.array([2.0, 2.0, 1.0, 1.0])
    draws = np.array(list(itertools.product(values - reference, repeat=4))).mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5], method="inverted_cdf")
    difference = paired_difference(values, reference, samples=40_000)
    assert difference.mean == pytest.approx(1.0 - 0.125 + 0.0)
    # Draws lie on a grid: the sampled percentile may be its neighbour.
    step = np.diff(np.unique(draws)).max()
    assert difference.low == pytest.approx(low, abs=step)
    assert difference.high == pytest.approx(high, abs=step)


def test_interval_against_the_normal_one():
    differences = np.random.default_rng(3).normal(0.2, 1.0, 400)
    found = paired_difference(differences, np.zeros(400))
    half = 1.96 * differences.std(ddof=1) / 20
    assert found.low == pytest.approx(differences.mean() - half, abs=0.02)
    assert found.high == pytest.approx(differences.mean() + half, abs=0.02)


def test_same_seed_same_interval():
    values = np.random.default_rng(1).normal(size=8)
    assert paired_difference(values, np.zeros(8)) == paired_difference(values, np.zeros(8))


@pytest.mark.parametrize(("values", "reference"), [([], []), ([1.0], [1.0, 2.0])])
def test_no_pairs_is_refused(values, reference):
    with pytest.raises(ValueError, match="`values` and `reference` must be pairs"):
        paired_difference(values, reference)
