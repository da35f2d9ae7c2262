"""From a declared log to parts on disk: the rows and counts of `load_log`, for logs larger than memory.

In memory are `CHUNK_ROWS` rows at a time, and what DuckDB takes to drop duplicates, join and sort.
"""

import contextlib
import dataclasses
import datetime
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
from ibis.expr.types import Table as Rows

from keras_smes.console import track
from keras_smes.data.files.reader import FILE, list_files, scan_files
from keras_smes.data.log.declaration import AUTO, Log, Table
from keras_smes.data.log.labels import with_labels
from keras_smes.data.log.load import (
    DATE,
    TIME,
    USUAL_FRACTION,
    auto_schema,
    check_columns,
    check_request,
    check_table,
    check_there,
    interactions_of,
    no_entries,
    no_rows,
    planned_split,
    repeated_key,
    rows_to_train,
    table_name,
    with_time,
)
from keras_smes.data.past.engine import DuckDB, plain, restored
from keras_smes.data.past.expressions import PLACE
from keras_smes.data.roles import SplitDates
from keras_smes.data.split import TEST
from keras_smes.data.store.cache import cache_folder, fingerprints
from keras_smes.data.store.interactions import StoredInteractions
from keras_smes.data.store.part import PART_ROWS, ROWS, cached_parts, write_parts
from keras_smes.features.schema import FeatureSchema
from keras_smes.validation import check_count

CHUNK_ROWS = 500_000
# What of a log is applied when rows are read, and decides nothing about the files.
_LATER = ("statistics", "histories", "half_life", "rates", "memory", "folder", "name", "time_zone")

# From the rows of a part and the place of its first to which of them test.
Tests = Callable[[pl.DataFrame, int], pl.Series]


def store_log(
    log: Log, cache: str | Path | None = None, part_rows: int = PART_ROWS, verbose: int = 0
) -> StoredInteractions:
    """Reads the rows of a declared log as `load_log` does, into files instead of memory.

    The files are made on the first call and used again as long as the log's files and what it says of rows
    are the same. `time` and `date` must be columns of the log's own files, not of a side table.

    Args:
        log: The `Log`. Its `memory` bounds what sorting and joining take.
        cache: Folder to keep the files in. `None`, the default, is `$KERAS_SMES_CACHE` or
            `~/.cache/keras_smes`.
        part_rows: Rows of a part. Defaults to `200_000`.
        verbose: `0`, the default, shows no progress, `1` a bar for each step.

    Returns:
        The rows, without statistics and histories: see `store_past`.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: As for `load_log`, but for `memory`; or files in the cache are damaged.

    Example:

    >>> frame = pl.DataFrame({"colour": ["red", "blue"] * 9, "click": [0, 1, 1] * 6})
    >>> frame.write_parquet(folder / "rows.parquet")
    >>> rows = store_log(Log("mine", ("rows.parquet",), (BinaryTask("click"),), folder=folder), folder)
    >>> len(rows), rows.schema.names
    (18, ['colour'])
    """
    check_request(log)
    return stored(Storing(log, verbose), cache, part_rows)


def stored(steps: "Storing", cache: str | Path | None, part_rows: int) -> StoredInteractions:
    """Returns the rows that steps write, now or in an earlier call: see `store_log`."""
    log = steps.log
    made, parts, values = cached_parts(
        cache_folder(cache),
        steps.prefix,
        _recipe(log, check_count("part_rows", part_rows)),
        lambda out: dataclasses.replace(steps, scratch=out / "scratch").write(out, part_rows),
    )
    empty = pl.read_parquet(made / ROWS / parts[0].name, n_rows=0)
    dates = None if values["dates"] is None else _dates(*values["dates"])
    schema = steps.schema_of(empty, values["features"])
    roles = interactions_of(log, empty, schema, values["counts"], dates)
    return StoredInteractions(roles, made, parts, split_dates=dates, memory=log.memory)


def _recipe(log: Log, part_rows: int) -> dict[str, Any]:
    paths = [*log.files, *log.split.test_files, *(path for table in log.tables for path in table.files)]
    files = list_files(paths, log.folder)
    stated = {
        field.name: repr(getattr(log, field.name))
        for field in dataclasses.fields(log)
        if field.name not in _LATER
    }
    return {
        "part_rows": part_rows,
        "paths": [str(file.absolute()) for file in files],
        "files": fingerprints(files),
        "log": {**stated, "time_zone": log.time_zone},
    }


def _dates(train_until: str, test_from: str, test_until: str | None) -> SplitDates:
    day = datetime.date.fromisoformat
    return SplitDates(day(train_until), day(test_from), None if test_until is None else day(test_until))


@dataclasses.dataclass(frozen=True)
class Storing:
    """The steps from files to parts; what one leaves to the next lies in folders of `scratch`."""

    prefix: ClassVar[str] = "log"  # of the folder's name in the cache
    log: Log
    verbose: int = 0
    scratch: Path = Path()
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    types: dict[str, pl.DataType] = dataclasses.field(default_factory=dict)

    def write(self, out: Path, part_rows: int) -> dict[str, Any]:
        """Writes the parts into a folder and returns what to know of them, as JSON values."""
        self._write_rows()
        for place, table in enumerate(self.log.tables):
            self._write_table(place, table)
        self._sort()
        dates, frames = self._parts(part_rows)
        parts = write_parts(out, frames, DATE if DATE in self.types else None)
        schema = self._schema(out / ROWS, dates) if self.log.features == AUTO else None
        shutil.rmtree(self.scratch)
        return {
            **parts,
            "counts": self.counts,
            "dates": None if dates is None else [day and day.isoformat() for day in vars(dates).values()],
            "features": None if schema is None else schema.to_config(),
        }

    def _folder(self, name: str) -> Path:
        folder = self.scratch / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _write_rows(self) -> None:
        """Writes the rows of all files in their order, with `PLACE`, `TIME` and `DATE`."""
        files = list_files(self.log.files, self.log.folder)
        test_files = list_files(self.log.split.test_files, self.log.folder)
        scans = scan_files([*files, *test_files], self._folder("text"))
        self._check_times(scans[0].collect_schema().names())
        place, folder = 0, self._folder("rows")
        for number, scan in enumerate(track(scans, "Reading the log", self.verbose)):
            for rows in _chunks(scan):
                if test_files:
                    rows = rows.with_columns(pl.lit(number >= len(files)).alias(TEST))
                with _naming([*files, *test_files][number]):
                    rows = with_time(rows.drop(FILE), self.log)
                self.types.update(rows.schema)
                plain(rows).with_row_index(PLACE, place).write_parquet(folder / f"{place:012d}.parquet")
                place += rows.height
        if not place:
            raise no_rows(files)
        self.counts["rows_read"] = place
        check_there(rows, "unique", self.log.unique)

    def _check_times(self, own: Sequence[str]) -> None:
        """Stops if days may be those of a side table: rows are dated as they are read, before they join."""
        time = None if self.log.time is None else self.log.time.column
        for role, column in (("time", time), ("date", self.log.date)):
            if self.log.tables and column is not None and column not in own:
                there = [name for name in own if name != FILE]
                raise ValueError(
                    f"`{role}` must be a column of the log's own files where rows stay on disk, not of a "
                    f"side table; a larger `memory` takes either. Received: {column!r}, not in {there}"
                )

    def _write_table(self, place: int, table: Table) -> None:
        """Writes a side table, with a column that says that a key is there."""
        scans = scan_files(list_files(table.files, self.log.folder), self._folder(f"text-{place}"))
        if not sum(scan.select(pl.len()).collect().item() for scan in scans):
            raise no_entries(table)
        types = scans[0].drop(FILE).collect_schema()
        check_table(table, pl.Schema(self.types), types)
        self.types.update({name: dtype for name, dtype in types.items() if name not in table.key})
        folder, name = self._folder(_table(place)), _there(place)
        for number, scan in enumerate(scans):
            entries = plain(scan.drop(FILE)).with_columns(pl.lit(True).alias(name))
            entries.sink_parquet(folder / f"{number:06d}.parquet")
        repeated = self.scratch / f"repeated-{place}"
        self._engine().write(folder, lambda rows: _repeated(rows, table.key), repeated)
        for key in pl.read_parquet(repeated / "*.parquet").rows():
            raise repeated_key(table, key)

    def _engine(self) -> DuckDB:
        return DuckDB.within(self.log.memory)

    def _sort(self) -> None:
        """Drops duplicates, joins the side tables and sorts, by time and then by place."""
        folders = {name: self.scratch / name for name in ("rows", *map(_table, range(len(self.log.tables))))}
        self._engine().combine(folders, self._sorted, self.scratch / "sorted")
        for folder in folders.values():
            shutil.rmtree(folder)

    def _sorted(self, tables: Mapping[str, Rows]) -> Rows:
        rows = tables["rows"]
        if self.log.unique:
            kept = rows.group_by(list(self.log.unique)).aggregate(__first=rows[PLACE].min())
            rows = rows.semi_join(kept, rows[PLACE] == kept["__first"])
        for place, table in enumerate(self.log.tables):
            entries = tables[_table(place)]
            added = [entries[name] for name in entries.columns if name not in table.key]
            rows = rows.left_join(entries, list(table.key)).select(rows, *added)
        return rows.order_by([TIME, PLACE] if TIME in rows.columns else [PLACE])

    def _parts(self, part_rows: int) -> tuple[SplitDates | None, Iterator[pl.DataFrame]]:
        """Returns the dates of the split, and the rows of one part after another."""
        scan = pl.scan_parquet(self.scratch / "sorted" / "0.parquet")
        height = scan.select(pl.len()).collect().item()
        if self.log.unique:
            self.counts["duplicates"] = self.counts["rows_read"] - height
        self.check_labels(scan)
        dates, tests = self._split(scan, height)

        def part(start: int) -> pl.DataFrame:
            rows = self._finished(scan.slice(start, part_rows).collect())
            if tests is not None:
                rows = rows.with_columns(tests(rows, start).alias(TEST))
            return rows.drop(self.log.ignore, strict=False)

        return dates, map(part, track(range(0, height, part_rows), "Writing parts", self.verbose))

    def _finished(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Returns rows with the columns of `load_log`, and counts those without an entry in a table."""
        for place, table in enumerate(self.log.tables):
            name = f"without_{table_name(table)}"
            self.counts[name] = self.counts.get(name, 0) + rows[_there(place)].null_count()
        rows = rows.drop(PLACE, *map(_there, range(len(self.log.tables))))
        rows = self.labelled(restored(rows, self.types))
        last = [name for name in (TIME, DATE) if name in rows.columns]
        return rows.select(pl.exclude(last), *last)

    def schema_of(self, empty: pl.DataFrame, chosen: Any) -> FeatureSchema:
        """Returns the features for the columns of rows: those declared, or those that `auto` chose."""
        declared = self.log.features
        return FeatureSchema.from_config(chosen) if isinstance(declared, str) else FeatureSchema(declared)

    def labelled(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Returns rows of a part with labels."""
        rows = with_labels(rows, self.log.labels, all_values=False)
        check_columns(rows, self.log)
        return rows

    def check_labels(self, rows: pl.LazyFrame) -> None:
        """Stops where a label can't be made of all of its column's values."""
        for label in self.log.labels:
            if label.positive and label.column in self.types:
                values = rows.select(pl.col(label.column).unique()).collect(engine="streaming")
                with_labels(restored(values, self.types), [label])

    def _split(self, rows: pl.LazyFrame, height: int) -> tuple[SplitDates | None, Tests | None]:
        """Returns the dates of the split, or what says which rows of a part test."""
        if TEST in self.types:
            return None, None
        days = None
        if DATE in self.types:
            days = dict(rows.group_by(DATE).len().collect(engine="streaming").sort(DATE).rows())
        dates, split = planned_split(self.log, days)
        if dates is not None:
            if self.log.features == AUTO and days is not None:
                self.log.split.check(days, self.log.name)
            return dates, None
        if days is None or split.by == "hash":
            return None, lambda part, start: split.hashed_tests(part.height, start)
        last = min(int(height * (1 - (split.test_fraction or USUAL_FRACTION))), height - 1)
        boundary = rows.select(TIME).slice(last, 1).collect().item()
        return None, lambda part, start: part[TIME] >= boundary

    def _schema(self, out: Path, dates: SplitDates | None) -> FeatureSchema:
        train = rows_to_train(pl.scan_parquet(out / "*.parquet"), self.log, dates)
        columns = train.collect_schema().names()
        return auto_schema(self.log, columns, lambda name: train.select(name).collect()[name])


def _table(place: int) -> str:
    return f"table-{place}"


def _there(place: int) -> str:
    return f"__there_{place}"


def _repeated(entries: Rows, key: Sequence[str]) -> Rows:
    counts = entries.group_by(list(key)).aggregate(__rows=entries.count())
    return counts.filter(counts["__rows"] > 1).select(*key).order_by(list(key)).limit(1)


def _chunks(rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    for start in range(0, rows.select(pl.len()).collect().item(), CHUNK_ROWS):
        yield rows.slice(start, CHUNK_ROWS).collect()


@contextlib.contextmanager
def _naming(file: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
