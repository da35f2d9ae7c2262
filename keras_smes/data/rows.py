"""Rows of a log, in memory or on disk, that training, validation, evaluation and scoring take."""

import abc
import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import polars as pl

from keras_smes.data.column_types import as_day_or_none, ids_to_numpy, to_numpy
from keras_smes.data.roles import SplitDates, all_skipped
from keras_smes.features.schema import FeatureSchema
from keras_smes.tasks import Task

if TYPE_CHECKING:
    from keras_smes.data.interactions import Interactions

Share = tuple[int, int]


class Rows(abc.ABC):
    """Rows of a log in order: `Interactions`, or `StoredInteractions`, a part of which is in memory."""

    if TYPE_CHECKING:  # a field of the one is a property of the other

        @property
        def roles(self) -> "Interactions":
            """What the columns mean: rows in memory themselves, or none with the same columns."""

        @property
        def name(self) -> str: ...
        @property
        def schema(self) -> FeatureSchema: ...
        @property
        def tasks(self) -> tuple[Task, ...]: ...
        @property
        def task_names(self) -> tuple[str, ...]: ...
        @property
        def user(self) -> str | None: ...
        @property
        def time(self) -> str | None: ...
        @property
        def date(self) -> str | None: ...
        @property
        def split_dates(self) -> SplitDates | None: ...
        @property
        def memory(self) -> int | None: ...

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def pieces(self, share: Share = (0, 1)) -> Iterator[tuple[slice, "Interactions"]]:
        """Yields all rows, some at a time, and which they are; or the i-th of n shares of them."""

    @abc.abstractmethod
    def scan(self, *, columns: Sequence[str] | None = None) -> pl.LazyFrame:
        """Returns the rows, not yet read, in order; all columns that have a role, or those named."""

    @abc.abstractmethod
    def take(self, which: slice) -> "Interactions":
        """Returns the rows from one place to another."""

    @abc.abstractmethod
    def days(self) -> dict[datetime.date, int] | None:
        """Returns how many rows each day has, in the order of days; `None` if rows have no day."""

    @abc.abstractmethod
    def with_roles(self, **roles: Any) -> Self:
        """Returns the rows with other values of fields of `roles`."""

    def with_schema(self, schema: FeatureSchema) -> Self:
        """Returns the rows with other features."""
        return self.with_roles(schema=schema)

    def with_rates(self, rates: Sequence[str]) -> Self:
        """Returns the rows with other label columns whose rates are taken."""
        return self.with_roles(rates=tuple(rates))

    @abc.abstractmethod
    def of_days(self, first: datetime.date, last: datetime.date) -> Self:
        """Returns the rows dated from `first` to `last`, perhaps none."""

    @abc.abstractmethod
    def not_skipped(self, column: str) -> Self:
        """Returns the rows that a column of `skip_training` doesn't mark, perhaps none."""

    def read_columns(self, names: Sequence[str]) -> pl.DataFrame:
        """Returns some columns of all rows."""
        return self.scan(columns=names).collect()

    def labels(self) -> Mapping[str, np.ndarray]:
        """Returns the label columns of all tasks, float32, NaN where unknown.

        `task.targets`, `task.counted` and `task.observed` take them.

        Raises:
            ValueError: A task can't have a label that is there; names the task, the row and the value.
        """
        names = self.roles.label_columns
        frame = self.read_columns(names)
        columns = {name: to_numpy(frame[name], "float32") for name in names}
        for task in self.tasks:
            task.check(columns)
        return columns

    def user_ids(self) -> np.ndarray:
        """Returns the user of each row, `None` where it is null or there are no users."""
        return np.full(len(self), None) if self.user is None else self._ids(self.user)

    def request_ids(self) -> np.ndarray | None:
        """Returns the request of each row, `None` where it is null; `None` if rows have no such role."""
        return None if self.roles.request is None else self._ids(self.roles.request)

    def _ids(self, column: str) -> np.ndarray:
        return ids_to_numpy(self.read_columns([column])[column])

    def weights(self) -> np.ndarray:
        """Returns the weight of each row in losses, float32 `[N]`."""
        column = self.roles.weight
        if column is None:
            return np.ones(len(self), np.float32)
        return self.read_columns([column])[column].cast(pl.Float32).to_numpy()

    def dates(self) -> tuple[datetime.date, datetime.date]:
        """Returns the first and the last date present."""
        self.roles.column("date")
        days = self.days()
        if not days:
            raise ValueError(f"`interactions` must have rows. Received: {self.name} without any")
        return min(days), max(days)

    def times(self) -> tuple[int, int]:
        """Returns the first and the last moment, in milliseconds since 1970 (UTC)."""
        time = self.roles.column("time")
        found = self.scan(columns=[time]).select(pl.col(time).min(), last=pl.col(time).max())
        first, last = found.collect(engine="streaming").row(0)
        return first, last

    def count_users(self) -> int:
        """Returns how many users the rows have."""
        user = self.roles.column("user")
        found = self.scan(columns=[user]).select(pl.col(user).drop_nulls().n_unique())
        return int(found.collect(engine="streaming").item())

    def between(self, first: datetime.date | None = None, last: datetime.date | None = None) -> Self:
        """Returns the rows dated from `first` to `last`, both inclusive; `None` leaves a side open.

        Raises:
            ValueError: If no row is dated so.
        """
        present = self.dates()
        first, last = as_day_or_none("first", first), as_day_or_none("last", last)
        kept = self.of_days(max(first or present[0], present[0]), min(last or present[1], present[1]))
        if not len(kept):
            raise ValueError(
                f"No rows of {self.name} are dated from {first or 'the first'} to {last or 'the last'}. "
                f"Received: rows dated {present[0]} to {present[1]}"
            )
        return kept

    def to_train(self) -> Self:
        """Returns the rows that are trained on: all but those that `skip_training` marks.

        Statistics and histories are added before, so that skipped rows are in the past of others.

        Raises:
            ValueError: All rows are skipped.
        """
        column = self.roles.skip_training
        if column is None:
            return self
        kept = self.not_skipped(column)
        if len(self) and not len(kept):
            raise all_skipped(column, len(self), self.name)
        return kept


RowsT = TypeVar("RowsT", bound=Rows)
