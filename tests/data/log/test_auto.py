"""Which feature `auto` chooses for a column of numbers."""

import polars as pl
import pytest

from keras_smes.data.log.auto import choose_features


@pytest.mark.parametrize(
    ("values", "in_buckets"),
    [
        ([0.0] * 95 + [100.0] * 5, True),  # 100 is 20 times the mean
        ([1.5, 2.5, 3.5, 4.5], False),
        ([-1.0] + [0.0] * 94 + [100.0] * 5, False),  # an amount is not negative
    ],
)
def test_amounts_of_which_a_few_are_large_are_in_buckets(values, in_buckets):
    (number,) = choose_features([pl.Series("x", values)])
    assert (number.buckets is not None) == in_buckets
