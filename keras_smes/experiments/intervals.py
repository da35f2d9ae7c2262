"""Means over seeds, and intervals of differences between models that share their seeds."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95


class Difference(NamedTuple):
    """A mean difference and its interval.

    Attributes:
        mean: Mean over the pairs.
        low: Lower end of the interval; `None` for one pair, which has no interval.
        high: Upper end; `None` for one pair.
        pairs: How many pairs.
    """

    mean: float
    low: float | None
    high: float | None
    pairs: int


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
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
        A `Difference`.

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
    differences_s = np.asarray(values, np.float64) - np.asarray(reference, np.float64)
    pairs = len(differences_s)
    mean, spread = mean_and_spread(differences_s.tolist())
    if spread is None:
        return Difference(mean, None, None, pairs)
    half = float(stdtrit(pairs - 1, (1 + LEVEL) / 2)) * spread / math.sqrt(pairs)
    return Difference(mean, mean - half, mean + half, pairs)
