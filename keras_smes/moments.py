"""Moments of columns, as what is divided by them needs them."""

import math
from collections.abc import Callable

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


class RunningMoments:
    """Mean and standard deviation of values that come some at a time: the same however they are cut.

    Blocks of `BLOCK` values are merged in order (Chan, Golub and LeVeque, 1983); up to one block the two
    are NumPy's own.

    Args:
        transform: What is done to values, float64, first. Defaults to `None`, nothing.

    Example:

    >>> moments = RunningMoments()
    >>> for values in (np.array([1.0, 2.0]), np.array([6.0])):
    ...     moments.add(values)
    >>> mean, std = moments.result()
    >>> mean, round(std, 4)
    (3.0, 2.1602)
    """

    BLOCK = 2**21

    def __init__(self, transform: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
        self._transform = transform
        self._held: list[np.ndarray] = []
        self._size = 0
        self._merged = (0, 0.0, 0.0)  # count, mean, sum of squared deviations

    def add(self, values: np.ndarray) -> None:
        """Adds values, which are kept as they are until a block is full."""
        while len(values):
            own = values[: self.BLOCK - self._size]
            self._held.append(own)
            self._size, values = self._size + len(own), values[len(own) :]
            if self._size == self.BLOCK:
                self._close()

    def result(self) -> tuple[float, float]:
        """Returns the mean and the standard deviation; 0 and 1 without values."""
        self._close()
        count, mean, squares = self._merged
        return (mean, math.sqrt(squares / count)) if count else (0.0, 1.0)

    def _close(self) -> None:
        if not self._size:
            return
        block = np.concatenate(self._held).astype(np.float64)
        block = block if self._transform is None else self._transform(block)
        self._held, self._size = [], 0
        count, mean, squares = self._merged
        own_mean = float(block.mean())
        own_squares = float(np.square(block - own_mean).sum())
        total, shift = count + block.size, own_mean - mean
        if count:
            own_mean = mean + shift * block.size / total
            own_squares += squares + shift**2 * count * block.size / total
        self._merged = (total, own_mean, own_squares)
