"""Splits of interactions: by dates, by time, by a column of test rows, and without time by a hash."""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Generic

import numpy as np
import polars as pl

from keras_smes.data.column_types import as_day_or_none
from keras_smes.data.interactions import Interactions
from keras_smes.data.roles import SplitDates
from keras_smes.data.rows import Rows, RowsT

USUAL_FRACTION = 0.2  # of the rows tests
TEST = "__test"  # column of the rows that test, where no dates say it


@dataclasses.dataclass(frozen=True)
class Split(Generic[RowsT]):
    """Earlier rows to train on and later rows to test on.

    Args:
        train: The earlier rows.
        test: The later rows.
        how: How the rows were cut, as JSON values.
    """

    train: RowsT
    test: RowsT
    how: Mapping[str, Any]

    @cached_property
    def description(self) -> dict[str, Any]:
        """How the rows were cut, and the rows, dates and times of both parts, as JSON values."""
        return {**self.how, "train": describe_part(self.train), "test": describe_part(self.test)}

    @property
    def frozen_from(self) -> datetime.date | None:
        """The date of the first test row, where `with_statistics` freezes what is known; `None` without."""
        return None if self.test.date is None else self.test.dates()[0]


def split(
    interactions: Interactions,
    train_until: datetime.date | None = None,
    test_from: datetime.date | None = None,
    test_until: datetime.date | None = None,
    test_fraction: float | None = None,
) -> Split[Interactions]:
    """Cuts interactions by time, or where rows have none by a seeded hash of their place.

    With dates, the rows dated to `train_until` train and those dated `test_from` to `test_until` test. With
    `test_fraction`, the last rows by time test; rows of one instant stay together. With neither, the data
    set's own `split_dates` or `test_column` count, and where it has none a fraction of 0.2. Both parts forget
    these, so that a validation slice is `split(parts.train, test_fraction=0.1)`.

    Args:
        interactions: The rows to cut.
        train_until: Last date of the training rows. Defaults to the day before `test_from`.
        test_from: First date of the test rows. Defaults to the day after `train_until`.
        test_until: Last date of the test rows. Defaults to the last one present.
        test_fraction: Share of the rows that test, between 0 and 1. Excludes dates.

    Returns:
        A `Split`.

    Raises:
        ValueError: If a part would be empty, the parts would overlap, or dates and a fraction are given.
    """
    dated = any(day is not None for day in (train_until, test_from, test_until))
    if dated and test_fraction is not None:
        raise ValueError(f"Give dates or `test_fraction`, not both. Received: test_fraction={test_fraction}")
    usual, column = interactions.split_dates, interactions.test_column
    interactions = dataclasses.replace(interactions, split_dates=None, test_column=None)
    if dated:
        return _split_by_date(interactions, complete_dates(train_until, test_from, test_until))
    if usual is not None and test_fraction is None:
        return _split_by_date(interactions, usual)
    if column is not None and test_fraction is None:
        return _cut(interactions, interactions.frame[column], {"by": "column", "column": column})
    return _split_by_fraction(interactions, USUAL_FRACTION if test_fraction is None else test_fraction)


def hashed_fractions(rows: int, seed: int = 0, first: int = 0) -> np.ndarray:
    """Returns a number in [0, 1) for each row, float64 `[rows]`: a hash of its place and the seed.

    SplitMix64, so that a row stays in its part whatever the versions of libraries are, and others may follow.

    Args:
        rows: How many.
        seed: Of the hash. Defaults to `0`.
        first: Place of the first of them. Defaults to `0`.
    """
    with np.errstate(over="ignore"):
        step = np.uint64(0x9E3779B97F4A7C15)
        state_n = (
            np.arange(first + 1, first + rows + 1, dtype=np.uint64) + np.uint64(seed) * np.uint64(2**32)
        ) * step
        state_n = (state_n ^ (state_n >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state_n = (state_n ^ (state_n >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state_n ^= state_n >> np.uint64(31)
    return (state_n >> np.uint64(11)) / 2.0**53


def first_test_place(rows: int, fraction: float) -> int:
    """Returns the place of the first test row, of rows in order of time of which the last fraction tests."""
    return min(int(rows * (1 - fraction)), rows - 1)


def complete_dates(
    train_until: datetime.date | None, test_from: datetime.date | None, test_until: datetime.date | None
) -> SplitDates:
    """Returns the dates of a split of which some are given, or rejects those that make none."""
    day = datetime.timedelta(days=1)
    train_until = as_day_or_none("train_until", train_until)
    test_from = as_day_or_none("test_from", test_from)
    if train_until is None and test_from is None:
        raise ValueError(
            f"`test_until` needs `train_until` or `test_from`. Received: test_until={test_until}"
        )
    if test_from is None:
        assert train_until is not None
        test_from = train_until + day
    if train_until is None:
        train_until = test_from - day
    if train_until >= test_from:
        raise ValueError(
            "`train_until` must be before `test_from`. "
            f"Received: train_until={train_until}, test_from={test_from}"
        )
    if test_until is not None and test_until < test_from:
        raise ValueError(
            "`test_until` must not be before the first test day. "
            f"Received: test_until={test_until}, test_from={test_from}"
        )
    return SplitDates(train_until, test_from, test_until)


def last_days(
    days: Iterable[datetime.date], test_days: int, test_until: datetime.date | None = None
) -> SplitDates:
    """Returns the dates of the split whose test rows are those of the last days.

    Args:
        days: The days with rows.
        test_days: How many days of the calendar, whether or not each has rows.
        test_until: The last of them. Defaults to `None`, the last one present.
    """
    last = max(days)
    if test_until is not None:
        last = min(last, test_until)
    return complete_dates(last - datetime.timedelta(days=test_days), None, test_until)


def last_training_day(days: Mapping[datetime.date, int], fraction: float) -> datetime.date:
    """Returns the day after which about a fraction of the rows lies, so that no day is cut.

    Args:
        days: How many rows each day has, in the order of days, of two or more.
        fraction: The share, between 0 and 1.
    """
    rows = np.cumsum(list(days.values()))
    best = np.abs(rows[:-1] / rows[-1] - (1 - fraction)).argmin()
    return list(days)[best]


def _split_by_date(interactions: Interactions, dates: SplitDates) -> Split[Interactions]:
    train = interactions.between(None, dates.train_until)
    test = interactions.between(dates.test_from, dates.test_until)
    return Split(train, test, {"by": "date"})


def _split_by_fraction(interactions: Interactions, fraction: float) -> Split[Interactions]:
    if not 0 < fraction < 1:
        raise ValueError(f"`test_fraction` must be between 0 and 1. Received: test_fraction={fraction}")
    rows, time = len(interactions), interactions.time
    if time is None:
        tests = pl.Series(hashed_fractions(rows) < fraction)
        return _cut(interactions, tests, {"by": "hash", "test_fraction": fraction})
    times = interactions.frame[time]
    first = times[first_test_place(rows, fraction) :].first()
    return _cut(interactions, times >= first, {"by": "fraction", "test_fraction": fraction})


def _cut(interactions: Interactions, tests: pl.Series, how: Mapping[str, Any]) -> Split[Interactions]:
    for part, rows in (("training", ~tests), ("test", tests)):
        if not rows.any():
            raise ValueError(
                f"A split must leave both parts rows. Received: no {part} rows of {interactions.name}, "
                f"split by {dict(how)}, {len(tests)} rows"
            )
    train = dataclasses.replace(interactions, frame=interactions.frame.filter(~tests))
    test = dataclasses.replace(interactions, frame=interactions.frame.filter(tests))
    return Split(train, test, how)


def describe_part(part: Rows) -> dict[str, Any]:
    """Returns the rows, users, dates and times of rows, as JSON values; what they don't have is left out."""
    described: dict[str, Any] = {"rows": len(part)}
    if part.user is not None:
        described["users"] = part.count_users()
    if part.time is not None:
        (first, last), (start, end) = part.dates(), part.times()
        described |= {"first_date": first.isoformat(), "last_date": last.isoformat()}
        described |= {"first_time_ms": start, "last_time_ms": end}
    return described
