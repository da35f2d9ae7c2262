"""Moments of columns, as what is divided by them needs them."""

import numpy as np

# The largest relative error of a number that is rounded to float32, in which models compute.
ROUNDING = float(np.finfo(np.float32).eps) / 2
SMALLEST = float(np.finfo(np.float32).tiny)  # XLA takes what lies below it for 0


def nonzero_std(mean: float, std: float) -> float:
    """Returns a standard deviation to divide by: `std`, or 1 where all values are alike.

    Values that are all alike have a computed deviation of 0, or of the rounding of their mean: 4e-16 for a
    thousand times log1p(14.62). Dividing by it would scale a last digit to a huge number. So a deviation
    counts as none if it is at most what float32 rounds off a number as large as the mean.

    Args:
        mean: Mean of the values.
        std: Their standard deviation, as computed in float64.

    Returns:
        `std` or 1.

    Example:

    >>> values = np.log1p(np.full(1000, 14.62))
    >>> nonzero_std(values.mean(), values.std())
    1.0
    """
    return float(std) if std > max(ROUNDING * abs(mean), SMALLEST) else 1.0
