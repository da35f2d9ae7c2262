"""Sums of floats in fixed point, as int32 tensors: integers add exactly, over any batches and replicas.

A sum has `DIGITS` digits of `DIGIT_BITS` bits, so that a batch of `MOST_ROWS` rows fits int32. A running
count has a low and a high word.
"""

import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_smes.types import Tensor

SCALE = 2.0**24  # a step of 6e-8, as fine as float32
DIGIT_BITS, DIGITS = 10, 3
MOST_ROWS = 2**20
LOW_BITS = 24  # the low words of 100 replicas add up in int32


def sum_digits(value_bx: Tensor, rows_bx: Tensor) -> Tensor:
    """Returns the sums over rows of each digit of the values, int32 `[DIGITS, ...]`.

    Each row is rounded, not the sum, so that the result doesn't depend on the split into batches.
    """
    # Rows that don't count may hold NaN, which has no integer value.
    fixed_bx = ops.cast(ops.round(ops.where(rows_bx, value_bx, 0.0) * SCALE), "int32")
    base, digits = 2**DIGIT_BITS, []
    for _ in range(DIGITS - 1):
        rest_bx = ops.floor_divide(fixed_bx, base)
        digits.append(fixed_bx - rest_bx * base)
        fixed_bx = rest_bx
    return ops.sum(ops.stack([*digits, fixed_bx]), axis=1)


def join_digits(digits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the sum in units of `1 / SCALE`, of digits `[DIGITS, ...]`."""
    return sum(digits[i] << (DIGIT_BITS * i) for i in range(DIGITS))  # type: ignore[return-value]


def split_digits(total: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the digits `[DIGITS, ...]` of a sum, the inverse of `join_digits`."""
    base = 2**DIGIT_BITS
    return np.stack([total % base, total // base % base, total // base**2])


def join_words(words: NDArray[np.int32]) -> NDArray[np.int64]:
    """Returns the count of its low and high word, `[2, ...]`."""
    return words[0].astype(np.int64) + (words[1].astype(np.int64) << LOW_BITS)


def split_words(count: NDArray[np.int64]) -> NDArray[np.int32]:
    """Returns the low and high word `[2, ...]` of a count, the inverse of `join_words`."""
    return np.stack([count % 2**LOW_BITS, count >> LOW_BITS]).astype(np.int32)
