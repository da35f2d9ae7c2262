"""The protocol of rows, in memory or on disk, that training, validation, evaluation and scoring take."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, Self, TypeVar

import numpy as np
import polars as pl

from keras_smes.data.interactions import Interactions
from keras_smes.features.schema import FeatureSchema
from keras_smes.tasks import Task

Share = tuple[int, int]


class Rows(Protocol):
    """Rows of a log in order: `Interactions`, or `StoredInteractions`, a part of which is in memory."""

    @property
    def roles(self) -> Interactions:
        """What the columns mean: rows in memory themselves, or none with the same columns."""

    @property
    def name(self) -> str:
        """Name of the data set."""

    @property
    def schema(self) -> FeatureSchema:
        """The features."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is predicted."""

    @property
    def task_names(self) -> tuple[str, ...]:
        """The names of the tasks."""

    @property
    def user(self) -> str | None:
        """Column of the user."""

    @property
    def time(self) -> str | None:
        """Column of the moment."""

    @property
    def date(self) -> str | None:
        """Column of the day."""

    def __len__(self) -> int: ...

    def pieces(self, share: Share = (0, 1)) -> Iterator[tuple[slice, Interactions]]:
        """Yields all rows, some at a time, and which they are; or the i-th of n shares of them."""

    def scan(self) -> pl.LazyFrame:
        """Returns the rows, not yet read, in order."""

    def take(self, which: slice) -> Interactions:
        """Returns the rows from one place to another."""

    def labels(self) -> Mapping[str, np.ndarray]:
        """Returns the label columns of all rows, float32, NaN where unknown."""

    def user_ids(self) -> np.ndarray:
        """Returns the user of each row, `None` where there is none."""

    def request_ids(self) -> np.ndarray | None:
        """Returns the request of each row; `None` if rows have no such role."""

    def dates(self) -> tuple[datetime.date, datetime.date]:
        """Returns the first and the last date present."""

    def days(self) -> Mapping[datetime.date, int] | None:
        """Returns how many rows each day has, in the order of days; `None` if rows have no day."""

    def times(self) -> tuple[int, int]:
        """Returns the first and the last moment, in milliseconds since 1970 (UTC)."""

    def count_users(self) -> int:
        """Returns how many users the rows have."""

    def between(self, first: datetime.date | None = None, last: datetime.date | None = None) -> Self:
        """Returns the rows dated from `first` to `last`, both inclusive; `None` leaves a side open."""

    def with_schema(self, schema: FeatureSchema) -> Self:
        """Returns the rows with other features."""

    def with_rates(self, rates: Sequence[str]) -> Self:
        """Returns the rows with other label columns whose rates are taken."""

    def to_train(self) -> Self:
        """Returns the rows that are trained on."""

    def weights(self) -> np.ndarray:
        """Returns the weight of each row in losses, float32 `[N]`."""


RowsT = TypeVar("RowsT", bound=Rows)
