"""Interactions larger than memory: Parquet files, of which a few at a time are in memory.

The rows are cut into parts in order of time, one file a part. Files of the same name in several folders,
the layers, stand side by side: the rows themselves, then what was computed of them later.
"""

import bisect
import contextlib
import dataclasses
import datetime
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from keras_smes.data.column_types import scan_in_normal_form
from keras_smes.data.interactions import Interactions
from keras_smes.data.rows import Rows
from keras_smes.data.split import Split, complete_dates
from keras_smes.data.store.cache import fingerprints
from keras_smes.data.store.part import ROWS, Part


def _of_roles(name: str) -> property:
    return property(lambda stored: getattr(stored.roles, name), doc=f"`{name}` of the roles.")


@dataclasses.dataclass(frozen=True)
class StoredInteractions(Rows):
    """Interactions in a folder of Parquet files.

    Args:
        roles: Interactions without rows: what the columns of the parts mean.
        folder: Where the layers lie.
        parts: The parts, in order of time.
        layers: Folders whose files of one name stand side by side. Defaults to `("rows",)`.
        first: First date whose rows count. Defaults to `None`, the first there is.
        last: Last date whose rows count. Defaults to `None`, the last there is.
        is_training: Whether rows that training skips are left out. Defaults to `False`.
        is_test: Which value of the column of test rows counts. Defaults to `None`, any.
    """

    roles: Interactions
    folder: Path
    parts: tuple[Part, ...]
    layers: tuple[str, ...] = (ROWS,)
    first: datetime.date | None = None
    last: datetime.date | None = None
    is_training: bool = False
    is_test: bool | None = None

    if not TYPE_CHECKING:  # with their types in `Rows`
        name, schema, tasks, task_names, user, time, date, split_dates, memory = map(
            _of_roles,
            ("name", "schema", "tasks", "task_names", "user", "time", "date", "split_dates", "memory"),
        )

    def __len__(self) -> int:
        return sum(self.count(part) for part in self.parts)

    def pieces(self, share: tuple[int, int] = (0, 1)) -> Iterator[tuple[slice, Interactions]]:
        """Yields the rows of a part at a time and which they are; of n shares the parts i, i + n, ..."""
        start = 0
        for number, part in enumerate(self.parts):
            rows = self.count(part)
            if rows and number % share[1] == share[0]:
                yield slice(start, start + rows), self.read([part])
            start += rows

    def take(self, which: slice) -> Interactions:
        """Returns the rows from one place to another, of which only their parts are read."""
        stops = list(itertools.accumulate(map(self.count, self.parts)))
        first, last = bisect.bisect_right(stops, which.start), bisect.bisect_left(stops, which.stop)
        parts, start = self.parts[first : last + 1], stops[first - 1] if first else 0
        with self.naming(parts):
            frame = self.scan(parts).slice(which.start - start, which.stop - which.start).collect()
            return dataclasses.replace(self.roles, frame=frame)

    def not_skipped(self, column: str) -> "StoredInteractions":
        """Returns the rows that a column of `skip_training` doesn't mark, perhaps none."""
        return self if self.is_training else dataclasses.replace(self, is_training=True)._counted()

    def _counted(self) -> "StoredInteractions":
        """Returns the same rows, of parts that say how many count, those without any left out."""
        date = self.roles.date
        counted = []
        for part in self.parts:
            rows = self.scan([part], [date or self.roles.frame.columns[0]])
            counted.append(Part.of(part.name, rows, date))
        return dataclasses.replace(self, parts=tuple(part for part in counted if len(part)))

    def read_columns(self, names: Sequence[str]) -> pl.DataFrame:
        """Returns some columns of all rows."""
        with self.naming(self.parts):
            return super().read_columns(names)

    def count(self, part: Part) -> int:
        """Returns how many rows of a part count."""
        return sum(count for day, count in part.rows.items() if self._counts(day))

    def _counts(self, day: datetime.date | None) -> bool:
        if day is None:
            return True
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)

    def scan(self, parts: Iterable[Part] | None = None, columns: Sequence[str] | None = None) -> pl.LazyFrame:
        """Returns the rows that count, not yet read, in order of time and with columns in normal form.

        Args:
            parts: Of which parts. Defaults to `None`, all.
            columns: Which columns. Defaults to `None`, those that have a role.
        """
        names = [part.name for part in (self.parts if parts is None else parts)]
        layers = [pl.scan_parquet([self.folder / layer / name for name in names]) for layer in self.layers]
        rows = layers[0] if len(layers) == 1 else pl.concat(layers, how="horizontal")
        rows = scan_in_normal_form(rows, self.roles.conversions())
        # A row without a date belongs to no day, and reading it raises.
        if self.first is not None:
            date = pl.col(self.roles.column("date"))
            rows = rows.filter((date >= self.first) | date.is_null())
        if self.last is not None:
            date = pl.col(self.roles.column("date"))
            rows = rows.filter((date <= self.last) | date.is_null())
        if self.is_test is not None:
            assert self.roles.test_column is not None
            rows = rows.filter(pl.col(self.roles.test_column) == self.is_test)
        if self.is_training:
            assert self.roles.skip_training is not None
            rows = rows.filter(~pl.col(self.roles.skip_training).cast(pl.Boolean))
        return rows.select(self.roles.frame.columns if columns is None else columns)

    def read(self, parts: Iterable[Part] | None = None) -> Interactions:
        """Reads parts into memory.

        Args:
            parts: Which parts, in whatever order. Defaults to `None`, all.

        Returns:
            Their rows in order of time.

        Raises:
            ValueError: A column is not what its role takes, as for `Interactions`; names the parts too.
        """
        chosen = self.parts if parts is None else sorted(parts, key=lambda part: part.name)
        with self.naming(chosen):
            return dataclasses.replace(self.roles, frame=self.scan(chosen).collect())

    @contextlib.contextmanager
    def naming(self, parts: Sequence[Part]) -> Iterator[None]:
        """Adds to a `ValueError` in which parts it was found."""
        try:
            yield
        except ValueError as error:
            names = " to ".join(dict.fromkeys(part.name for part in (*parts[:1], *parts[-1:])))
            raise ValueError(f"{self.folder}, {names}: {error}") from error

    def fingerprint(self) -> dict[str, Any]:
        """Returns what a result of these rows depends on, as JSON values: their files, roles and dates."""
        names = [part.name for part in self.parts]
        return {
            "files": {
                layer: fingerprints(self.folder / layer / name for name in names) for layer in self.layers
            },
            "roles": [self.roles.user, self.roles.time, self.roles.date, self.roles.time_zone],
            "columns": self.roles.frame.columns,
            "dates": [str(self.first), str(self.last)],
            "training": self.roles.skip_training if self.is_training else None,
            "test": [self.roles.test_column, self.is_test],
        }

    def days(self) -> dict[datetime.date, int] | None:
        """Returns how many rows each day has, in the order of days; `None` if rows have no day."""
        if self.roles.date is None:
            return None
        counts: Counter[datetime.date] = Counter()
        for part in self.parts:
            counts.update({day: n for day, n in part.rows.items() if day is not None and self._counts(day)})
        return dict(sorted(counts.items()))

    def with_roles(self, **roles: Any) -> "StoredInteractions":
        """Returns the rows with other values of fields of `roles`."""
        return dataclasses.replace(self, roles=self.roles.with_roles(**roles))

    def of_days(self, first: datetime.date, last: datetime.date) -> "StoredInteractions":
        """Returns the rows dated from `first` to `last`, perhaps none."""
        kept = dataclasses.replace(self, first=first, last=last)
        return dataclasses.replace(kept, parts=tuple(part for part in self.parts if kept.count(part)))

    def split(
        self,
        train_until: datetime.date | None = None,
        test_from: datetime.date | None = None,
        test_until: datetime.date | None = None,
    ) -> "StoredSplit":
        """Cuts by dates, as `keras_smes.data.split` does; without any, as the data set says.

        Raises:
            ValueError: If a part would be empty, the parts would overlap, or there are no dates to go by.
        """
        dates, dated = self.roles.split_dates, any((train_until, test_from, test_until))
        if dates is None and not dated and self.roles.test_column is not None:
            train, test = (dataclasses.replace(self, is_test=value)._counted() for value in (False, True))
            return Split(train, test, {"by": "column", "column": self.roles.test_column})
        if dates is None or dated:
            dates = complete_dates(train_until, test_from, test_until)
        whole = self.with_roles(split_dates=None)
        train = whole.between(None, dates.train_until)
        return Split(train, whole.between(dates.test_from, dates.test_until), {"by": "date"})


StoredSplit = Split[StoredInteractions]  # of rows on disk
