"""Exact sums of floats, independent of the order and the grouping of the terms.

A float64 is an integer of 53 bits times a power of 2. It is cut at fixed places, 32 bits apart, into integer
pieces; pieces of one place are summed as int64. The sum is rounded once, at the end (a superaccumulator:
Kulisch, 1971).
"""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

PLACES = 69  # from the smallest float64 to 32 bits above the largest
_BITS, _SMALLEST = 32, 1152  # place 0 counts units of 2**-1152
_MANTISSA, _LOW = 53, 2**32 - 1


def exact_sums(value_n: Vector, bin_n: NDArray[np.intp], num_bins: int) -> NDArray[np.int64]:
    """Returns the sums by bin as int64 `[PLACES, num_bins]`; add them up for the sums of 2e9 rows."""
    if not np.isfinite(value_n).all():
        row = int(np.isfinite(value_n).argmin())
        raise ValueError(f"Weighted values must be finite. Received: {value_n[row]} at row {row}")
    fraction_n, exponent_n = np.frexp(value_n)
    whole_n = np.ldexp(fraction_n, _MANTISSA).astype(np.int64)
    place_n, shift_n = np.divmod(exponent_n.astype(np.int64) - _MANTISSA + _SMALLEST, _BITS)
    low_n, high_n = (whole_n & _LOW) << shift_n, (whole_n >> _BITS) << shift_n
    sums = np.zeros((PLACES, num_bins), np.int64)
    for offset, piece_n in enumerate((low_n & _LOW, (low_n >> _BITS) + (high_n & _LOW), high_n >> _BITS)):
        np.add.at(sums, (place_n + offset, bin_n), piece_n)
    return sums


def rounded(sums: NDArray[np.int64]) -> Vector:
    """Returns sums `[PLACES, ...]` as the nearest float64 `[...]`."""
    flat = [_rounded(pieces) for pieces in sums.reshape(len(sums), -1).T.tolist()]
    return np.array(flat, np.float64).reshape(sums.shape[1:])


def _rounded(pieces: list[int]) -> float:
    whole = sum(piece << _BITS * place for place, piece in enumerate(pieces) if piece)
    try:
        return whole / 2**_SMALLEST  # Python rounds a quotient of integers once
    except OverflowError:
        return float("inf") if whole > 0 else float("-inf")
