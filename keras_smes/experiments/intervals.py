"""Means over seeds, and intervals of differences between models that share their seeds."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

LEVEL = 0.95


class Difference(NamedTuple):
    """A mean difference over pairs, and the ends of its interval, which one pair doesn't have: `None`."""

    mean: float
    low: float | None
    high: float | None
    pairs: int


def mean_and_spread(values: ArrayLike) -> tuple[float, float | None]:
    """Returns the mean and the sample standard deviation, which one value doesn't have: `None`."""
    values_s = np.asarray(values, np.float64)
    return float(values_s.mean()), float(values_s.std(ddof=1)) if len(values_s) > 1 else None


def paired_difference(values: Sequence[float], reference: Sequence[float]) -> Difference:
    """Returns the mean difference of two models over shared seeds, with its 95 % t interval.

    ```
    d[s] = values[s] - reference[s]
    interval = mean(d) ± t[0.975, S - 1] * std(d) / sqrt(S)
    ```

    With few seeds `t` is large: 12.7 for 2 of them, 4.3 for 3, 2.1 for 16. The interval covers what changes
    with the seed (weights, order of rows), not what other test rows would change.

    Args:
        values: A metric of one model by seed, S of them.
        reference: The metric of the other model, by the same seeds.

    Returns:
        A `Difference`; one pair has no interval.

    Raises:
        ValueError: There are no pairs, or one model has more values than the other.

    Example:

    >>> difference = paired_difference([0.75, 0.77, 0.76], [0.73, 0.74, 0.75])
    >>> round(difference.mean, 3), round(difference.low, 3), round(difference.high, 3)
    (0.02, -0.005, 0.045)

    References:
        - Student, The Probable Error of a Mean, Biometrika 6, 1908
    """
    if not len(values) or len(values) != len(reference):
        raise ValueError(
            "`values` and `reference` must be pairs, one or more. "
            f"Received: {len(values)} values, {len(reference)} of the reference"
        )
    pairs = len(values)
    mean, spread = mean_and_spread(np.subtract(values, reference, dtype=np.float64))
    if spread is None:
        return Difference(mean, None, None, pairs)
    half = float(stdtrit(pairs - 1, (1 + LEVEL) / 2)) * spread / math.sqrt(pairs)
    return Difference(mean, mean - half, mean + half, pairs)


def pseudo_values(value: float, without_g: ArrayLike) -> NDArray[np.float64]:
    """Returns the pseudo-values of a delete-a-group jackknife, `[G]`, scaled to have the mean `value`.

    `value` is a metric over all rows, `without_g` without the rows of each group of users.

    References:
        - Quenouille, Notes on Bias in Estimation, Biometrika 43, 1956
    """
    without_g = np.asarray(without_g, np.float64)
    return value + (len(without_g) - 1) * (without_g.mean() - without_g)


def hierarchical_difference(values: ArrayLike, reference: ArrayLike) -> Difference:
    """Returns the mean difference of two models with a 95 % interval over seeds and over users.

    ```
    d[s,g] = values[s,g] - reference[s,g]        model of seed s, on the users of group g
    V_seeds = var over s of (mean over g of d) / S
    V_users = var over g of (mean over s of d) / G
    V_both  = var over s, g of what d leaves of both means / (S G)
    V       = max(V_seeds + V_users - V_both, V_seeds, V_users)
    interval = mean(d) ± t[0.975, n] * sqrt(V),   n = V^2 / (V_seeds^2 / (S - 1) + V_users^2 / (G - 1))
    ```

    Seeds and users are crossed: each model is measured on all users, and `V_both` is in both other variances.
    The interval covers what other weights, another order of rows and other test users would change, but not
    what another day would. One seed has no interval.

    Args:
        values: A metric of one model by seed and group, `[S, G]`; see `pseudo_values`.
        reference: The same of the other model, by the same seeds and groups.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> noise = rng.normal(0, 0.01, (8, 1)) + rng.normal(0, 0.01, (1, 50)) + rng.normal(0, 0.01, (8, 50))
    >>> difference = hierarchical_difference(0.75 + noise, np.full((8, 50), 0.70))
    >>> difference.low < 0.05 < difference.high
    True

    References:
        - Owen, The Pigeonhole Bootstrap, Annals of Applied Statistics 1, 2007
        - Cameron, Gelbach and Miller, Robust Inference with Multiway Clustering, JBES 29, 2011
    """
    values_sg, reference_sg = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    if values_sg.shape != reference_sg.shape or values_sg.ndim != 2 or values_sg.shape[1] < 2:
        raise ValueError(
            "`values` and `reference` must be of the same seeds and groups, `[S, G]`, two groups or more. "
            f"Received: shapes {values_sg.shape} and {reference_sg.shape}"
        )
    d_sg = values_sg - reference_sg
    seeds, groups = d_sg.shape
    mean = float(d_sg.mean())
    if seeds == 1:
        return Difference(mean, None, None, 1)
    of_seed_s, of_group_g = d_sg.mean(axis=1), d_sg.mean(axis=0)
    left_sg = d_sg - of_seed_s[:, None] - of_group_g + mean
    v_seeds, v_users = float(of_seed_s.var(ddof=1)) / seeds, float(of_group_g.var(ddof=1)) / groups
    v_both = float(np.square(left_sg).sum()) / ((seeds - 1) * (groups - 1)) / (seeds * groups)
    variance = max(v_seeds + v_users - v_both, v_seeds, v_users)
    spread = v_seeds**2 / (seeds - 1) + v_users**2 / (groups - 1)
    half = float(stdtrit(variance**2 / spread, (1 + LEVEL) / 2)) * math.sqrt(variance) if spread else 0.0
    return Difference(mean, mean - half, mean + half, seeds)
