"""Means, spreads and paired intervals against values worked out by hand, SciPy's test, and simulation."""

import numpy as np
import pytest
from scipy import stats

from keras_smes.experiments import paired_difference
from keras_smes.experiments.intervals import hierarchical_difference, mean_and_spread, pseudo_values


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


def test_hierarchical_interval_by_hand():
    # Means of seeds 1 and 3, of groups 1 and 3, nothing left: V = 1 + 1, n = 4 / (1 + 1) = 2, t = 4.303.
    found = hierarchical_difference([[0.0, 2.0], [2.0, 4.0]], np.zeros((2, 2)))
    assert found.mean == 2.0
    assert found.pairs == 2
    assert (found.low, found.high) == pytest.approx((2 - 4.3027 * 2**0.5, 2 + 4.3027 * 2**0.5), abs=1e-3)


def test_hierarchical_interval_takes_the_interaction_back():
    # Means of seeds 1 and 3, of groups 2 and 2; left are four ones: V_seeds 1, V_users 0, V_both 4 / 4 = 1.
    found = hierarchical_difference([[0.0, 2.0], [4.0, 2.0]], np.zeros((2, 2)))
    assert (found.low, found.high) == pytest.approx((2 - 12.706, 2 + 12.706), abs=1e-3)


# Standard deviations of what changes with the seed, with the group, and with both.
SPREADS = [(1.0, 0.0, 0.0), (0.0, 7.0, 0.0), (0.0, 0.0, 28.0), (1.0, 7.0, 28.0), (0.3, 7.0, 7.0)]


def crossed(rng, seeds, spreads, groups=50):
    shapes = ((seeds, 1), (1, groups), (seeds, groups))
    return sum(rng.normal(0, std, shape) for std, shape in zip(spreads, shapes, strict=True)) + 0.3


@pytest.mark.parametrize("seeds", [3, 8, 16])
@pytest.mark.parametrize("spreads", SPREADS)
def test_hierarchical_interval_covers_at_least_as_often_as_it_says(seeds, spreads):
    # 2,000 experiments: a share of 0.95 has a standard error of 0.005. Above it where the interaction rules.
    rng, zeros = np.random.default_rng(seeds), np.zeros((seeds, 50))
    found = [hierarchical_difference(crossed(rng, seeds, spreads), zeros) for _ in range(2000)]
    assert 0.935 <= np.mean([one.low <= 0.3 <= one.high for one in found]) <= 0.99


def test_seeds_alone_do_not_cover_other_users():
    # The reason for the other interval: with eight seeds on one test set, a third of the intervals miss.
    rng, zeros = np.random.default_rng(1), np.zeros(8)
    found = [paired_difference(crossed(rng, 8, (1.0, 7.0, 7.0)).mean(axis=1), zeros) for _ in range(1000)]
    assert np.mean([one.low <= 0.3 <= one.high for one in found]) < 0.75


def test_hierarchical_interval_is_near_a_bootstrap_of_seeds_and_groups():
    # Where nothing changes with both, drawing seeds and groups anew has the same spread.
    rng = np.random.default_rng(5)
    d_sg = crossed(rng, 16, (1.0, 7.0, 0.0))
    seeds, groups = rng.integers(0, 16, (4000, 15)), rng.integers(0, 50, (4000, 49))
    drawn = [d_sg[np.ix_(s, g)].mean() for s, g in zip(seeds, groups, strict=True)]
    found = hierarchical_difference(d_sg, np.zeros((16, 50)))
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, 64) * np.std(drawn), rel=0.05)


@pytest.mark.parametrize("shapes", [((2, 3), (3, 3)), ((2, 1), (2, 1)), ((4,), (4,))])
def test_hierarchical_difference_rejects_other_shapes(shapes):
    with pytest.raises(ValueError, match="of the same seeds and groups"):
        hierarchical_difference(*(np.zeros(shape) for shape in shapes))


def test_hierarchical_difference_of_one_seed_has_no_interval():
    assert hierarchical_difference(np.ones((1, 4)), np.zeros((1, 4))) == (1.0, None, None, 1)


def test_pseudo_values_of_a_mean_are_its_terms():
    values_g = np.array([1.0, 4.0, 7.0])
    without_g = [(values_g.sum() - own) / 2 for own in values_g]
    np.testing.assert_allclose(pseudo_values(4.0, without_g), values_g)


def test_the_former_place_gives_the_same_interval():
    from keras_smes.experiments import bootstrap

    values, reference = [0.75, 0.77, 0.76], [0.73, 0.74, 0.75]
    with pytest.warns(DeprecationWarning, match="have no effect"):
        found = bootstrap.paired_difference(values, reference, 1000, 3)
    assert found == paired_difference(values, reference)
