"""Means, spreads and paired intervals against values worked out by hand, SciPy's test, and simulation."""

import numpy as np
import pytest
from scipy import stats

from keras_smes.experiments import paired_difference
from keras_smes.experiments.intervals import mean_and_spread


def test_mean_and_spread_by_hand():
    mean, spread = mean_and_spread([1.0, 2.0, 6.0])
    assert mean == 3.0
    assert spread == pytest.approx(((4 + 1 + 9) / 2) ** 0.5)


def test_one_value_has_no_spread():
    assert mean_and_spread([0.5]) == (0.5, None)


def test_difference_is_of_pairs():
    difference = paired_difference([0.75, 0.5, 0.25], [0.5, 0.25, 0.0])
    assert difference == (0.25, 0.25, 0.25, 3)  # every pair differs alike: there is no spread


def test_one_pair_has_no_interval():
    assert paired_difference([0.75], [0.5]) == (0.25, None, None, 1)


def test_interval_by_hand():
    # Differences 1 and 3: mean 2, standard deviation sqrt(2), and a table of t has 12.706 for 1 and 0.975.
    found = paired_difference([2.0, 5.0], [1.0, 2.0])
    assert (found.low, found.high) == (pytest.approx(2 - 12.706, abs=1e-3), pytest.approx(14.706, abs=1e-3))


@pytest.mark.parametrize("pairs", [2, 3, 5, 16])
def test_interval_is_that_of_the_paired_t_test(pairs):
    values, reference = np.random.default_rng(pairs).normal(size=(2, pairs))
    expected = stats.ttest_rel(values, reference).confidence_interval(0.95)
    found = paired_difference(values, reference)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


def coverage(differences_ns, truth):
    """The share of the experiments, a row of differences each, whose interval holds the true mean."""
    zeros = np.zeros(differences_ns.shape[1])
    found = [paired_difference(own, zeros) for own in differences_ns]
    return np.mean([one.low <= truth <= one.high for one in found])


@pytest.mark.parametrize("pairs", [2, 3, 4, 16])
def test_interval_covers_as_often_as_it_says(pairs):
    # 4,000 experiments: a share of 0.95 has a standard error of 0.0034.
    normal = np.random.default_rng(pairs).normal(0.3, 2.0, (4000, pairs))
    assert coverage(normal, 0.3) == pytest.approx(0.95, abs=0.011)


@pytest.mark.parametrize("pairs", [2, 3, 4, 16])
def test_interval_nearly_covers_where_differences_are_skewed(pairs):
    # A gamma distribution of shape 4 has skewness 1 and mean 4.
    skewed = np.random.default_rng(pairs).gamma(4.0, size=(4000, pairs))
    assert coverage(skewed, 4.0) == pytest.approx(0.94, abs=0.021)


@pytest.mark.parametrize(("values", "reference"), [([], []), ([1.0], [1.0, 2.0])])
def test_no_pairs_is_refused(values, reference):
    with pytest.raises(ValueError, match="`values` and `reference` must be pairs"):
        paired_difference(values, reference)


def test_the_former_place_gives_the_same_interval():
    from keras_smes.experiments import bootstrap

    values, reference = [0.75, 0.77, 0.76], [0.73, 0.74, 0.75]
    with pytest.warns(DeprecationWarning, match="have no effect"):
        found = bootstrap.paired_difference(values, reference, 1000, 3)
    assert found == paired_difference(values, reference)
