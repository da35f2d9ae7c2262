"""Logged interactions: rows in order of time, which of their columns mean what, and splits by time."""

import dataclasses
import datetime
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import numpy as np
import polars as pl

from keras_smes.checks import check_positive
from keras_smes.data.column_types import (
    Conversions,
    as_dates,
    as_day_or_none,
    as_labels,
    as_times,
    as_users,
    check_same_days,
    check_time_zone,
    check_unit,
    conversion_of,
    ids_to_numpy,
    to_inputs,
    to_normal_form,
    to_numpy,
)
from keras_smes.data.leaks import OUTCOME, refuse_leaks
from keras_smes.data.roles import History, KeyGroup, SplitDates
from keras_smes.features.schema import FeatureSchema
from keras_smes.tasks import BinaryTask, Task, as_tasks


@dataclasses.dataclass(frozen=True)
class Interactions:
    """Rows of a log, in order of time, with the roles of their columns.

    Args:
        name: Name of the data set.
        frame: The rows, sorted by `time`.
        user: Column of the user, by whom GAUC groups: integers or strings. Rows of a null user count in all
            but what is taken within users.
        time: Column of the moment of the impression: whole milliseconds since 1970 (UTC), or timestamps of
            type Datetime, which without a time zone are taken as UTC. Becomes Int64 milliseconds.
        date: Column of the day by which splits are made: of type Date, or Datetime, of which the day counts
            (with a time zone, the day in `time_zone`). Becomes Date.
        tasks: What is to be predicted, each task from label columns of the frame; a plain name is a
            `BinaryTask`. A label that is null or NaN is unknown.
        schema: Raw features, not fitted.
        counts: What the loader read, dropped and could not match; describes the whole data set also
            after `between`.
        statistics: Keys whose causal statistics `with_statistics` adds. Defaults to none.
        histories: Behaviour sequences that `with_histories` adds. Defaults to none.
        split_dates: The usual split; `None`, the default, cuts by a fraction of the rows.
        time_zone: Where a day begins, for comparing `time` with `date`. Defaults to `"UTC"`.
        allow_leaks: Whether a label may be a feature too, as for showing what a leak does. Defaults to
            `False`.
        rates: Label columns whose rates are taken in `statistics`. Defaults to `None`, those of binary tasks.
        half_life: Days after which a row counts half in `statistics`. Defaults to `None`, it always counts
            whole.

    Raises:
        ValueError: A column is missing, has a type or a value that its role can't have (ids may be floats if
            each is whole; dates and times have no nulls), times are not in milliseconds, or rows are not
            sorted by time; names the column and the first such value.
    """

    name: str
    frame: pl.DataFrame
    user: str
    time: str
    date: str
    tasks: tuple[Task, ...]
    schema: FeatureSchema
    counts: Mapping[str, int]
    statistics: tuple[KeyGroup, ...] = ()
    histories: tuple[History, ...] = ()
    split_dates: SplitDates | None = None
    time_zone: str = "UTC"
    allow_leaks: bool = False
    rates: tuple[str, ...] | None = None
    half_life: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.frame, pl.DataFrame):
            raise ValueError(f"`frame` must be a polars.DataFrame. Received: {type(self.frame)}")
        object.__setattr__(self, "tasks", as_tasks(self.tasks))
        if self.half_life is not None:
            check_positive("half_life", self.half_life)
        used = [self.user, self.time, self.date, *self.label_columns, *self.schema.names]
        used += self.rates or ()
        used += [column for group in self.statistics for column in group.columns]
        used += [column for history in self.histories for column in (history.item, history.label)]
        missing = sorted(set(used) - set(self.frame.columns))
        if missing:
            raise ValueError(f"`frame` lacks columns of {self.name}. Received: missing={missing}")
        labels = {*self.label_columns, *(history.label for history in self.histories)}
        refuse_leaks("schema", {n: OUTCOME for n in self.schema.names if n in labels}, self.allow_leaks)
        object.__setattr__(self, "frame", to_normal_form(self.frame, self.conversions()))
        if not self.frame[self.time].is_sorted():
            raise ValueError(f"`frame` must be sorted by {self.time!r}. Received: {self.name} out of order")
        check_unit(self.frame[self.time], self.frame[self.date])
        if self.statistics or self.histories:
            self.check_same_days()

    def conversions(self) -> Conversions:
        """Yields each column that has a type by its role, with what makes its normal form."""
        if self.time == self.date:
            raise ValueError(
                f"`date` must be another column than `time`, such as its day. Received: date={self.date!r}"
            )
        yield self.time, as_times
        yield self.date, partial(as_dates, time_zone=check_time_zone("time_zone", self.time_zone))
        yield self.user, as_users
        watched = (history.label for history in self.histories)
        yield from ((name, as_labels) for name in (*self.label_columns, *self.event_columns, *watched))
        yield from ((feature.name, conversion_of(feature)) for feature in self.schema.features)

    def check_same_days(self) -> None:
        """Stops if `time` and `date` are of other days, so that no row would know anything of the past."""
        check_same_days(self.frame[self.time], self.frame[self.date])

    def __len__(self) -> int:
        return self.frame.height

    def columns(self) -> dict[str, np.ndarray]:
        """Returns the raw features in the schema's order: int64, float32 and object arrays of str.

        An empty integer is `MISSING_INTEGER`, an empty string `MISSING_STRING`, an empty number NaN. A
        feature of many values a row is `NAME [N, max_length]` with `NAME_length [N]` beside it.
        """
        columns: dict[str, np.ndarray] = {}
        for feature in self.schema.features:
            columns |= to_inputs(feature, self.frame[feature.name])
        return columns

    def labels(self) -> dict[str, np.ndarray]:
        """Returns the label columns of all tasks, float32, NaN where unknown.

        `task.targets`, `task.counted` and `task.observed` take them.

        Raises:
            ValueError: A task can't have a label that is there; names the task, the row and the value.
        """
        columns = {name: to_numpy(self.frame[name], "float32") for name in self.label_columns}
        for task in self.tasks:
            task.check(columns)
        return columns

    @property
    def task_names(self) -> tuple[str, ...]:
        """The names of the tasks."""
        return tuple(task.name for task in self.tasks)

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns of the frame that the tasks look at, each once."""
        return tuple(dict.fromkeys(column for task in self.tasks for column in task.columns))

    @property
    def event_columns(self) -> tuple[str, ...]:
        """The label columns whose rates are taken: of what happens or not, by default all of binary tasks."""
        if self.rates is not None:
            return self.rates
        return tuple(dict.fromkeys(task.label for task in self.tasks if isinstance(task, BinaryTask)))

    def user_ids(self) -> np.ndarray:
        """Returns the user of each row, `None` where it is null."""
        return ids_to_numpy(self.frame[self.user])

    def between(
        self, first: datetime.date | None = None, last: datetime.date | None = None
    ) -> "Interactions":
        """Returns the rows dated from `first` to `last`, both inclusive; `None` leaves a side open.

        Raises:
            ValueError: If no row is dated so.
        """
        first_present, last_present = date_range(self)
        first, last = as_day_or_none("first", first), as_day_or_none("last", last)
        kept = self.frame.filter(pl.col(self.date).is_between(first or first_present, last or last_present))
        if kept.is_empty():
            raise ValueError(
                f"No rows of {self.name} are dated from {first or 'the first'} to {last or 'the last'}. "
                f"Received: rows dated {first_present} to {last_present}"
            )
        return dataclasses.replace(self, frame=kept)


def date_range(interactions: Interactions) -> tuple[datetime.date, datetime.date]:
    """Returns the first and the last date present."""
    dates = interactions.frame[interactions.date]
    if dates.is_empty():
        raise ValueError(f"`interactions` must have rows. Received: {interactions.name} without any")
    return cast(datetime.date, dates.min()), cast(datetime.date, dates.max())


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
        return _split_by_date(interactions, complete_dates(train_until, test_from, test_until))
    if usual is not None and test_fraction is None:
        return _split_by_date(interactions, usual)
    return _split_by_fraction(interactions, 0.2 if test_fraction is None else test_fraction)


def complete_dates(
    train_until: datetime.date | None, test_from: datetime.date | None, test_until: datetime.date | None
) -> SplitDates:
    """Returns the dates of a split of which some are given, or refuses those that make none."""
    day = datetime.timedelta(days=1)
    train_until, test_from = (
        as_day_or_none("train_until", train_until),
        as_day_or_none("test_from", test_from),
    )
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
        "users": part.frame[part.user].drop_nulls().n_unique(),
        "first_date": first.isoformat(),
        "last_date": last.isoformat(),
        "first_time_ms": times[0],
        "last_time_ms": times[-1],
    }
