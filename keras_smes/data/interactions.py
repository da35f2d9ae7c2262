"""Logged interactions: rows in order of time, and the roles of their columns."""

import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from keras_smes.data.column_types import (
    Conversions,
    as_dates,
    as_labels,
    as_marks,
    as_times,
    as_users,
    as_weights,
    check_same_days,
    check_time_zone,
    check_unit,
    conversion_of,
    to_inputs,
    to_normal_form,
)
from keras_smes.data.past.leaks import OUTCOME, reject_leaks
from keras_smes.data.roles import History, KeyGroup, SplitDates
from keras_smes.data.rows import Rows
from keras_smes.features.schema import FeatureSchema
from keras_smes.tasks import BinaryTask, Task, as_tasks
from keras_smes.validation import check_positive


@dataclasses.dataclass(frozen=True)
class Interactions(Rows):
    """Rows of a log, in order of time, with the roles of their columns.

    Args:
        name: Name of the data set.
        frame: The rows, sorted by `time`.
        user: Column of the user, by whom GAUC groups: integers or strings. Rows of a null user count in all
            but what is taken within users. `None`: there are no users, and no metrics within them.
        time: Column of the moment of the impression: whole milliseconds since 1970 (UTC), or timestamps of
            type Datetime, which without a time zone are taken as UTC. Becomes Int64 milliseconds. `None`, as
            `date` then is too: rows have no order in time, and know nothing of a past.
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
        test_column: Boolean column of the rows that usually test, in place of dates. Defaults to `None`.
        weight: Column of the rows' weights in losses, at least 0. Metrics count every row alike. Defaults to
            `None`, all weigh 1.
        request: Column of the request or session that a row was shown in: integers or strings, for metrics of
            the order within it. Rows of a null request count in no such metric. Defaults to `None`.
        skip_training: Column of 0 and 1, or booleans: rows where it is 1 are not trained on, see `to_train`.
            They count in statistics and histories, and as validation and test rows. Defaults to `None`.
        memory: Bytes that statistics and histories may take. Defaults to `None`, a quarter of the machine's.

    Raises:
        ValueError: A column is missing, has a type or a value that its role can't have (ids may be floats if
            each is whole; dates and times have no nulls), times are not in milliseconds, or rows are not
            sorted by time; names the column and the first such value.
    """

    name: str
    frame: pl.DataFrame
    user: str | None
    time: str | None
    date: str | None
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
    test_column: str | None = None
    weight: str | None = None
    request: str | None = None
    skip_training: str | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.frame, pl.DataFrame):
            raise ValueError(f"`frame` must be a polars.DataFrame. Received: {type(self.frame)}")
        object.__setattr__(self, "tasks", as_tasks(self.tasks))
        if self.half_life is not None:
            check_positive("half_life", self.half_life)
        used = [name for name, _ in self.conversions()]
        used += [] if self.test_column is None else [self.test_column]
        used += [column for group in self.statistics for column in group.columns]
        used += [history.item for history in self.histories]
        missing = sorted(set(used) - set(self.frame.columns))
        if missing:
            raise ValueError(f"`frame` lacks columns of {self.name}. Received: missing={missing}")
        labels = {*self.label_columns, *(history.label for history in self.histories)}
        reject_leaks("schema", {n: OUTCOME for n in self.schema.names if n in labels}, self.allow_leaks)
        object.__setattr__(self, "frame", to_normal_form(self.frame, self.conversions()))
        if self.time is not None and self.date is not None:
            if not self.frame[self.time].is_sorted():
                raise ValueError(
                    f"`frame` must be sorted by {self.time!r}. Received: {self.name} out of order"
                )
            check_unit(self.frame[self.time], self.frame[self.date])
        if self.statistics or self.histories:
            self.check_same_days()
        if self.histories and self.user is None:
            raise ValueError(f"`histories` need `user`: they are of a user's rows. Received: {self.name}")

    def conversions(self) -> Conversions:
        """Yields each column that has a type by its role, with what makes its normal form."""
        time_zone = check_time_zone("time_zone", self.time_zone)
        if (self.time is None) != (self.date is None):
            raise ValueError(
                f"`time` and `date` go together. Received: time={self.time!r}, date={self.date!r}"
            )
        if self.time is not None and self.date is not None:
            if self.time == self.date:
                raise ValueError(
                    "`date` must be another column than `time`, such as its day. "
                    f"Received: date={self.date!r}"
                )
            yield self.time, as_times
            yield self.date, partial(as_dates, time_zone=time_zone)
        by_role = (
            (self.user, as_users),
            (self.weight, as_weights),
            (self.request, partial(as_users, role="request")),
            (self.skip_training, as_marks),
        )
        yield from ((column, convert) for column, convert in by_role if column is not None)
        watched = (history.label for history in self.histories)
        yield from ((name, as_labels) for name in (*self.label_columns, *self.event_columns, *watched))
        yield from ((feature.name, conversion_of(feature)) for feature in self.schema.features)

    def check_same_days(self) -> None:
        """Stops if rows have no day, or time and date are of other days: none would know of the past."""
        if self.time is None or self.date is None:
            raise ValueError(
                "`statistics` and `histories` need `time` and `date`: they are of earlier days. "
                f"Received: {self.name} without them"
            )
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

    def pieces(self, share: tuple[int, int] = (0, 1)) -> Iterator[tuple[slice, "Interactions"]]:
        """Yields the rows and which they are: all of them, or rows i, i + n, ... by `(i, n)`."""
        own = slice(share[0], None, share[1])
        rows = self if share[1] == 1 else dataclasses.replace(self, frame=self.frame[own])
        if len(rows):
            yield own, rows

    def scan(self, *, columns: Sequence[str] | None = None) -> pl.LazyFrame:
        """Returns the rows, not yet read; all columns, or those named."""
        return self.frame.lazy() if columns is None else self.frame.lazy().select(columns)

    def take(self, which: slice) -> "Interactions":
        """Returns the rows from one place to another."""
        return dataclasses.replace(self, frame=self.frame[which])

    @property
    def roles(self) -> "Interactions":
        """What the columns mean: the rows themselves."""
        return self

    @property
    def task_names(self) -> tuple[str, ...]:
        """The names of the tasks."""
        return tuple(task.name for task in self.tasks)

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns of the frame that the tasks use, each once."""
        return tuple(dict.fromkeys(column for task in self.tasks for column in task.columns))

    @property
    def event_columns(self) -> tuple[str, ...]:
        """The label columns whose rates are taken: of what happens or not, by default all of binary tasks."""
        if self.rates is not None:
            return self.rates
        return tuple(dict.fromkeys(task.label for task in self.tasks if isinstance(task, BinaryTask)))

    def column(self, role: str) -> str:
        """Returns the column of a role that may be missing, `"user"`, `"time"` or `"date"`.

        Raises:
            ValueError: There is none.
        """
        column: str | None = getattr(self, role)
        if column is None:
            raise ValueError(f"{self.name} must have a column of role `{role}`. Received: {role}=None")
        return column

    def days(self) -> dict[datetime.date, int] | None:
        """Returns how many rows each day has, in the order of days; `None` if rows have no day."""
        if self.date is None:
            return None
        return dict(self.frame[self.date].value_counts().sort(self.date).rows())

    def with_roles(self, **roles: Any) -> "Interactions":
        """Returns the rows with other values of fields."""
        return dataclasses.replace(self, **roles)

    def of_days(self, first: datetime.date, last: datetime.date) -> "Interactions":
        """Returns the rows dated from `first` to `last`, perhaps none."""
        kept = self.frame.filter(pl.col(self.column("date")).is_between(first, last))
        return dataclasses.replace(self, frame=kept)

    def not_skipped(self, column: str) -> "Interactions":
        """Returns the rows that a column of `skip_training` doesn't mark, perhaps none."""
        kept = self.frame.filter(~pl.col(column).cast(pl.Boolean))
        return dataclasses.replace(self, frame=kept)
