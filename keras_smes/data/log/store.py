"""From a declared log to parts on disk: the rows and counts of `load_log`, for logs larger than memory.

In memory are `CHUNK_ROWS` rows at a time, and what DuckDB takes to drop duplicates and sort.
"""

import contextlib
import dataclasses
import datetime
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from ibis.expr.types import Table as Rows

from keras_smes.console import track
from keras_smes.data.files.reader import FILE, list_files, scan_files
from keras_smes.data.log.checks import check_height, check_table, check_there
from keras_smes.data.log.declaration import AUTO, Log
from keras_smes.data.log.steps import TRAINING, Steps, finished_parts, interactions_of, without_files
from keras_smes.data.log.times import DATE, TIME, with_time
from keras_smes.data.past.engine import DuckDB, plain, restored
from keras_smes.data.past.expressions import PLACE
from keras_smes.data.roles import SplitDates
from keras_smes.data.store.cache import cache_folder, fingerprints
from keras_smes.data.store.interactions import StoredInteractions
from keras_smes.data.store.part import PART_ROWS, ROWS, cached_parts, write_parts
from keras_smes.features.schema import FeatureSchema
from keras_smes.validation import check_count

CHUNK_ROWS = 500_000
# What of a log is applied when rows are read, and decides nothing about the files.
_LATER = ("statistics", "histories", "half_life", "rates", "memory", "folder", "name", "time_zone")


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
    return stored(log, TRAINING, cache, part_rows, verbose)


def stored(
    log: Log, steps: Steps, cache: str | Path | None, part_rows: int, verbose: int
) -> StoredInteractions:
    """Returns the rows of a log on disk, by the steps for training or for scoring, written once."""
    made, parts, values = cached_parts(
        cache_folder(cache),
        steps.name,
        _recipe(log, check_count("part_rows", part_rows)),
        lambda out: _write(log, steps, out, part_rows, verbose),
    )
    empty = pl.read_parquet(made / ROWS / parts[0].name, n_rows=0)
    dates = None if values["dates"] is None else SplitDates(*map(_day, values["dates"]))
    chosen = values["features"]
    schema = steps.schema(empty.lazy(), log, dates) if chosen is None else FeatureSchema.from_config(chosen)
    roles = interactions_of(log, empty, schema, values["counts"], dates)
    return StoredInteractions(roles, made, parts)


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


def _day(text: str | None) -> Any:
    return None if text is None else datetime.date.fromisoformat(text)


def _write(log: Log, steps: Steps, out: Path, part_rows: int, verbose: int) -> dict[str, Any]:
    """Writes the parts, and returns what to know of them, as JSON values."""
    counts: dict[str, int] = {}
    reading = _Reading(log, out / "scratch", verbose)
    counts["rows_read"] = reading.write_rows()
    tables = reading.tables()
    rows = reading.in_order(steps, counts)
    frames, dates = finished_parts(rows, tables, log, steps, counts, part_rows, verbose)
    parts = write_parts(out, frames, DATE if DATE in rows.collect_schema() else None)
    shutil.rmtree(out / "scratch")
    rows = pl.scan_parquet(out / ROWS / "*.parquet")
    return {
        **parts,
        "counts": counts,
        "dates": None if dates is None else [day and day.isoformat() for day in vars(dates).values()],
        "features": steps.schema(rows, log, dates).to_config() if log.features == AUTO else None,
    }


@dataclasses.dataclass(frozen=True)
class _Reading:
    """From files to rows in order, and side tables; what one step leaves to the next lies in `scratch`."""

    log: Log
    scratch: Path
    verbose: int
    types: dict[str, pl.DataType] = dataclasses.field(default_factory=dict)

    def write_rows(self) -> int:
        """Writes the rows of all files in their order, with `PLACE`, `TIME` and `DATE`; returns how many."""
        log, out = self.log, self._folder("rows")
        files, test_files = (list_files(paths, log.folder) for paths in (log.files, log.split.test_files))
        scans = scan_files([*files, *test_files], self._folder("text"), log.columns)
        height = check_height(pl.concat(scans), files)
        self._check_columns(scans[0].drop(FILE).collect_schema().names())
        place = 0
        for number, scan in enumerate(track(scans, "Reading the log", self.verbose)):
            for rows in _chunks(scan):
                with _naming([*files, *test_files][number]):
                    rows = with_time(without_files(rows, log, len(files)), log)
                self.types.update(rows.schema)
                plain(rows).with_row_index(PLACE, place).write_parquet(out / f"{place:012d}.parquet")
                place += rows.height
        return height

    def tables(self) -> list[pl.LazyFrame]:
        """Returns the entries of the side tables, not yet read."""
        found, types = [], pl.Schema(self.types)
        for place, table in enumerate(self.log.tables):
            files = list_files(table.files, self.log.folder)
            entries = pl.concat(scan_files(files, self._folder(f"text-{place}"), table.columns))
            found.append(check_table(table, files, entries, types))
            types.update(found[-1].collect_schema())
        return found

    def in_order(self, steps: Steps, counts: dict[str, int]) -> pl.LazyFrame:
        """Returns the distinct rows, not yet read, with the types that they have in memory; counts others."""
        engine, written = DuckDB.within(self.log.memory), self._folder("rows")
        if steps.identical:
            engine.write(written, partial(_count_distinct, columns=steps.identical), self.scratch / "count")
            distinct = pl.read_parquet(self.scratch / "count" / "*.parquet").item()
            counts["identical"] = counts["rows_read"] - distinct
        engine.combine({"rows": written}, self._sorted, self.scratch / "sorted")
        shutil.rmtree(written)
        rows = pl.scan_parquet(self.scratch / "sorted" / "*.parquet").drop(PLACE)
        if self.log.unique:
            height = rows.select(pl.len()).collect().item()
            counts["duplicates"] = counts["rows_read"] - counts.get("identical", 0) - height
        return restored(rows, self.types)

    def _folder(self, name: str) -> Path:
        folder = self.scratch / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _check_columns(self, own: Sequence[str]) -> None:
        """Stops if days may be those of a side table: rows are dated as they are read, before they join."""
        time = None if self.log.time is None else self.log.time.column
        for role, column in (("time", time), ("date", self.log.date)):
            if self.log.tables and column is not None and column not in own:
                raise ValueError(
                    f"`{role}` must be a column of the log's own files where rows stay on disk, not of a "
                    f"side table; a larger `memory` takes either. Received: {column!r}, not in {list(own)}"
                )
        check_there(own, "unique", self.log.unique)

    def _sorted(self, tables: Mapping[str, Rows]) -> Rows:
        """Rows without duplicates, by time and then by place."""
        rows = tables["rows"]
        if self.log.unique:
            kept = rows.group_by(list(self.log.unique)).aggregate(__first=rows[PLACE].min())
            rows = rows.semi_join(kept, rows[PLACE] == kept["__first"])
        return rows.order_by([TIME, PLACE] if TIME in rows.columns else [PLACE])


def _count_distinct(rows: Rows, columns: Sequence[str]) -> Rows:
    distinct = rows.select(*columns).distinct()
    return distinct.aggregate(__rows=distinct.count())


def _chunks(rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    for start in range(0, rows.select(pl.len()).collect().item(), CHUNK_ROWS):
        yield rows.slice(start, CHUNK_ROWS).collect()


@contextlib.contextmanager
def _naming(file: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
