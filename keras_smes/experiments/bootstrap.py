"""Means over seeds, and intervals of differences between models that share their seeds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_smes.checks import check_count

SAMPLES = 10_000
LEVEL = 0.95


class Difference(NamedTuple):
    """A mean difference and its interval.

    Attributes:
        mean: Mean over the pairs.
        low: Lower end of the interval.
        high: Upper end.
        pairs: How many pairs.
    """

    mean: float
    low: float
    high: float
    pairs: int


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Returns the mean and the sample standard deviation, which one value doesn't have: `None`."""
    values_s = np.asarray(values, np.float64)
    return float(values_s.mean()), float(values_s.std(ddof=1)) if len(values_s) > 1 else None


def paired_difference(
    values: Sequence[float], reference: Sequence[float], samples: int = SAMPLES, seed: int = 0
) -> Difference:
    """Bootstraps the mean difference of pairs: two models, each trained once a seed.

    ```
    d[s] = values[s] - reference[s]
    interval = percentiles 2.5 and 97.5 of mean(d[drawn]), seeds drawn with replacement
    ```

    It holds what changes with the seed (weights, order of rows), not what other test rows would change.

    Args:
        values: A figure of one model by seed, S of them.
        reference: The figure of the other, by the same seeds.
        samples: How often to draw. Defaults to `10_000`.
        seed: Seed of the drawing. Defaults to `0`.

    Returns:
        A `Difference`; one pair has an interval of no width, which says nothing.

    Raises:
        ValueError: There are no pairs, or not as many of the one as of the other.

    Example:

    >>> round(paired_difference([0.74, 0.76], [0.73, 0.73]).mean, 4)
    0.02

    References:
        - Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13
    """
    if not len(values) or len(values) != len(reference):
        raise ValueError(
            "`values` and `reference` must be pairs, one or more. "
            f"Received: {len(values)} values, {len(reference)} of the reference"
        )
    check_count("samples", samples)
    differences_s = np.asarray(values, np.float64) - np.asarray(reference, np.float64)
    drawn_ns = np.random.default_rng(seed).integers(0, len(differences_s), (samples, len(differences_s)))
    means_n = differences_s[drawn_ns].mean(axis=1)
    low, high = np.percentile(means_n, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Difference(float(differences_s.mean()), float(low), float(high), len(differences_s))
