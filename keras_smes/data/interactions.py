"""Logged interactions: rows in order of time, which of their columns mean what, and splits by time."""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from keras_smes.features.schema import MISSING_INTEGER, MISSING_STRING, FeatureSchema, check_name


@dataclasses.dataclass(frozen=True)
class KeyGroup:
    """A combination of columns whose past is worth counting, such as a user in a tab.

    Args:
        name: Prefix of the statistics' names: `user_tab` gives `user_tab_impressions`.
        columns: The columns whose values together are one key; a null is a value of its own.
        smoothing: How many impressions the prior rate weighs. Defaults to `20.0`.
        towards: Name of an earlier group whose rate is the prior, as `user` for `user_tab`. `None`,
            the default, takes the rate of all rows of the same past.
    """

    name: str
    columns: tuple[str, ...]
    smoothing: float = 20.0
    towards: str | None = None

    def __post_init__(self) -> None:
        check_name("name", self.name)
        if not self.columns:
            raise ValueError(f"`columns` must not be empty. Received: columns={self.columns}")
        if not self.smoothing > 0:
            raise ValueError(f"`smoothing` must be positive. Received: smoothing={self.smoothing}")


@dataclasses.dataclass(frozen=True)
class SplitDates:
    """The dates at which a data set is usually cut: training to the one, tests from the other, inclusive."""

    train_until: datetime.date
    test_from: datetime.date
    test_until: datetime.date | None = None


@dataclasses.dataclass(frozen=True)
class Interactions:
    """Rows of a log, in order of time, with the roles of their columns.

    Args:
        name: Name of the data set.
        frame: The rows, sorted by `time`.
        user: Column of the user, by whom GAUC groups.
        time: Int64 column of the moment of the impression, milliseconds since 1970 (UTC).
        date: Date column by which splits are made.
        tasks: Label columns, 0 or 1 in each row.
        schema: Raw features, not fitted.
        counts: What the loader read, dropped and could not match; describes the whole data set also
            after `between`.
        statistics: Keys whose causal statistics `with_statistics` adds. Defaults to none.
        split_dates: The usual split; `None`, the default, cuts by a fraction of the rows.
        time_zone: Where a day begins, for comparing `time` with `date`. Defaults to `"UTC"`.
    """

    name: str
    frame: pl.DataFrame
    user: str
    time: str
    date: str
    tasks: tuple[str, ...]
    schema: FeatureSchema
    counts: Mapping[str, int]
    statistics: tuple[KeyGroup, ...] = ()
    split_dates: SplitDates | None = None
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        used = [self.user, self.time, self.date, *self.tasks, *self.schema.names]
        used += [column for group in self.statistics for column in group.columns]
        missing = sorted(set(used) - set(self.frame.columns))
        if missing:
            raise ValueError(f"`frame` lacks columns of {self.name}. Received: missing={missing}")
        if not self.frame[self.time].is_sorted():
            raise ValueError(f"`frame` must be sorted by {self.time!r}. Received: {self.name} out of order")

    def __len__(self) -> int:
        return self.frame.height

    def columns(self) -> dict[str, np.ndarray]:
        """Returns the raw features in the schema's order: int64, float32 and object arrays of str.

        An empty integer is `MISSING_INTEGER`, an empty string `MISSING_STRING`, an empty number NaN.
        """
        return {
            feature.name: _to_numpy(self.frame[feature.name], feature.dtype)
            for feature in self.schema.features
        }

    def labels(self) -> dict[str, np.ndarray]:
        """Returns the float32 labels of each task."""
        return {task: self.frame[task].cast(pl.Float32).to_numpy() for task in self.tasks}

    def user_ids(self) -> np.ndarray:
        """Returns the user of each row."""
        return self.frame[self.user].to_numpy()

    def between(
        self, first: datetime.date | None = None, last: datetime.date | None = None
    ) -> "Interactions":
        """Returns the rows dated from `first` to `last`, both inclusive; `None` leaves a side open.

        Raises:
            ValueError: If no row is dated so.
        """
        first_present, last_present = date_range(self)
        kept = self.frame.filter(pl.col(self.date).is_between(first or first_present, last or last_present))
        if kept.is_empty():
            raise ValueError(
                f"No rows of {self.name} are dated from {first or 'the first'} to {last or 'the last'}. "
                f"Received: rows dated {first_present} to {last_present}"
            )
        return dataclasses.replace(self, frame=kept)


def _to_numpy(values: pl.Series, dtype: str) -> np.ndarray:
    if dtype == "int64":
        return values.cast(pl.Int64).fill_null(MISSING_INTEGER).to_numpy()
    if dtype == "float32":
        return values.cast(pl.Float32).fill_null(float("nan")).to_numpy()
    return values.cast(pl.String).fill_null(MISSING_STRING).to_numpy()


def date_range(interactions: Interactions) -> tuple[datetime.date, datetime.date]:
    """Returns the first and the last date present."""
    dates = interactions.frame[interactions.date]
    if dates.is_empty():
        raise ValueError(f"`interactions` must have rows. Received: {interactions.name} without any")
    first, last = dates.min(), dates.max()
    assert isinstance(first, datetime.date)
    assert isinstance(last, datetime.date)
    return first, last


@dataclasses.dataclass(frozen=True)
class Split:
    """Earlier rows to train on and later rows to test on.

    Args:
        train: The earlier rows.
        test: The later rows.
        description: How the rows were cut, and the rows, dates and times of both parts, as JSON values.
    """

    train: Interactions
    test: Interactions
    description: Mapping[str, Any]

    @property
    def frozen_from(self) -> datetime.date:
        """The date of the first test row: there `with_statistics` has to freeze what is known."""
        return date_range(self.test)[0]


def split(
    interactions: Interactions,
    train_until: datetime.date | None = None,
    test_from: datetime.date | None = None,
    test_until: datetime.date | None = None,
    test_fraction: float | None = None,
) -> Split:
    """Cuts interactions by time, never at random.

    With dates, the rows dated to `train_until` train and those dated `test_from` to `test_until` test. With
    `test_fraction`, the last rows by time test; rows of one instant stay together. With neither, the data
    set's own `split_dates` count, and where it has none a fraction of 0.2. Both parts forget `split_dates`,
    so that a validation slice is `split(parts.train, test_fraction=0.1)`.

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
    usual = interactions.split_dates
    interactions = dataclasses.replace(interactions, split_dates=None)
    if dated:
        return _split_by_date(interactions, _complete(train_until, test_from, test_until))
    if usual is not None and test_fraction is None:
        return _split_by_date(interactions, usual)
    return _split_by_fraction(interactions, 0.2 if test_fraction is None else test_fraction)


def _complete(
    train_until: datetime.date | None, test_from: datetime.date | None, test_until: datetime.date | None
) -> SplitDates:
    day = datetime.timedelta(days=1)
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
    return SplitDates(train_until, test_from, test_until)


def _split_by_date(interactions: Interactions, dates: SplitDates) -> Split:
    train = interactions.between(None, dates.train_until)
    test = interactions.between(dates.test_from, dates.test_until)
    return Split(train, test, {"by": "date", "train": _describe(train), "test": _describe(test)})


def _split_by_fraction(interactions: Interactions, fraction: float) -> Split:
    if not 0 < fraction < 1:
        raise ValueError(f"`test_fraction` must be between 0 and 1. Received: test_fraction={fraction}")
    times = interactions.frame[interactions.time]
    boundary = times[min(int(len(times) * (1 - fraction)), len(times) - 1)] if len(times) else None
    earlier = interactions.frame.filter(times < boundary)
    if earlier.is_empty():
        raise ValueError(
            f"`test_fraction` leaves {interactions.name} no training rows. "
            f"Received: test_fraction={fraction}, {len(times)} rows"
        )
    train = dataclasses.replace(interactions, frame=earlier)
    test = dataclasses.replace(interactions, frame=interactions.frame.filter(times >= boundary))
    how = {"by": "fraction", "test_fraction": fraction}
    return Split(train, test, {**how, "train": _describe(train), "test": _describe(test)})


def _describe(part: Interactions) -> dict[str, Any]:
    first, last = date_range(part)
    times = part.frame[part.time]
    return {
        "rows": len(part),
        "users": part.frame[part.user].n_unique(),
        "first_date": first.isoformat(),
        "last_date": last.isoformat(),
        "first_time_ms": times[0],
        "last_time_ms": times[-1],
    }
