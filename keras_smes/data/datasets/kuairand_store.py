"""KuaiRand of any size: from the official files to Parquet files in order of time, in bounded memory.

In memory are at most `CHUNK_ROWS` rows of the log as they are spread over days, or the rows of one part
with the features of their users and videos. The rows that come out are those of `load_kuairand`.
"""

import datetime
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from keras_smes.console import track
from keras_smes.data.datasets.kuairand import (
    LOG,
    FeatureTable,
    Release,
    deduplicate,
    join_features,
    open_release,
)
from keras_smes.data.files.csv_reader import check_unique, drop_duplicates, scan_table
from keras_smes.data.store.cache import cache_folder, cached, fingerprints
from keras_smes.data.store.interactions import StoredInteractions
from keras_smes.data.store.part import ROWS, Part
from keras_smes.tasks import Task
from keras_smes.validation import check_count

FORMAT = 1  # of the files; another number makes them anew
CHUNK_ROWS = 500_000
PART_ROWS = 200_000

_ROW_GROUP = 100_000
_LINE, _DAY, _MINUTE_MS, _DAY_MS = "__line", "__day", 60_000, 86_400_000


def store_kuairand(
    variant: str,
    folder: str | Path,
    cache: str | Path | None = None,
    *,
    tasks: Sequence[str | Task | Mapping[str, Any]] = ("click", "long_view", "like"),
    history: int = 0,
    extra_features: Sequence[str] = (),
    allow_leaks: bool = False,
    part_rows: int = PART_ROWS,
    verbose: int = 1,
    left_out: Sequence[str] = (),
) -> StoredInteractions:
    """Reads KuaiRand as `load_kuairand` does, into files instead of memory.

    The files are made on the first call and used again as long as the release's files have the same
    sizes and times of change, and the options that decide on the files are the same (not `tasks`,
    `history` and `left_out`: those are chosen when rows are read).

    Args:
        variant: `"pure"`, `"1k"` or `"27k"`.
        folder: The release's folder, or the `data` folder in it.
        cache: Folder to keep the files in. `None`, the default, is `$KERAS_SMES_CACHE` or
            `~/.cache/keras_smes`.
        tasks: As for `load_kuairand`.
        history: As for `load_kuairand`.
        extra_features: As for `load_kuairand`.
        allow_leaks: As for `load_kuairand`.
        part_rows: Rows of a part, about. More take more memory, fewer make more files. Defaults to
            `200_000`.
        verbose: `0` shows no progress, `1` a bar for each step. Defaults to `1`.
        left_out: As for `load_kuairand`.

    Returns:
        The rows, without statistics and histories: see `store_past`.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: As for `load_kuairand`, or if files in the cache are damaged.

    Example:

    >>> parts = split_with_past(store_kuairand("27k", "KuaiRand-27K"))
    """
    check_count("part_rows", part_rows)
    release = open_release(variant, folder, tasks, history, extra_features, allow_leaks, left_out)
    files = [*release.logs, *(path for table in release.tables for path in table.paths)]
    columns = [[column.name for column in table.columns] for table in release.tables]
    recipe = {"format": FORMAT, "files": fingerprints(files), "columns": columns, "part_rows": part_rows}
    made, values = cached(
        cache_folder(cache),
        f"kuairand-{variant}",
        recipe,
        lambda out: _convert(release, out, part_rows, verbose),
    )
    parts = tuple(map(Part.from_config, values["parts"]))
    days = pl.Series("date", sorted({day for part in parts for day in part.rows}), dtype=pl.Date)
    empty = pl.scan_parquet(made / ROWS / parts[0].name).select(release.columns).head(0).collect()
    roles = release.interactions(empty, values["counts"], days)
    return StoredInteractions(roles, made, parts, split_dates=roles.split_dates)


def _convert(release: Release, out: Path, part_rows: int, verbose: int) -> dict[str, Any]:
    scratch = out / "scratch"
    (out / ROWS).mkdir()
    scratch.mkdir()
    tables = {table: _store_table(table, scratch, verbose) for table in release.tables}
    _spread(release.logs, scratch, verbose)
    counts: dict[str, int] = {}
    parts = []
    stretches = list(_stretches(scratch, part_rows))
    if not stretches:
        raise ValueError(f"The log must have rows. Received: none in {[str(path) for path in release.logs]}")
    for number, (day, first, last) in enumerate(track(stretches, "Joining features", verbose)):
        log = pl.scan_parquet(_day_files(scratch, day)).filter(pl.col("time_ms").is_between(first, last))
        rows, added = _rows_of(log.collect(engine="streaming").sort(_LINE).drop(_LINE), tables)
        for name, count in added.items():
            counts[name] = counts.get(name, 0) + count
        moment = datetime.datetime.fromtimestamp(first / 1000, datetime.UTC)
        name = f"{number:06d}-{moment:%Y-%m-%dT%H%M}.parquet"
        rows.write_parquet(out / ROWS / name)
        dates = rows.group_by("date").len().sort("date").rows()
        parts.append(Part(name, dict(dates)).to_config())
    shutil.rmtree(scratch)
    return {"counts": counts, "parts": parts}


def _store_table(table: FeatureTable, scratch: Path, verbose: int) -> pl.LazyFrame:
    """Checks files of features and returns them as Parquet files not yet read."""
    stored = []
    for path in track(table.paths, f"Reading the features by {table.key}", verbose):
        stored.append(scratch / f"{path.stem}.parquet")
        scan_table(path, table.columns).sink_parquet(stored[-1])
        check_unique(path, pl.scan_parquet(stored[-1]), table.key)
    return pl.scan_parquet(stored)


def _spread(logs: Sequence[Path], scratch: Path, verbose: int) -> None:
    """Writes the log's rows into one folder per day, each with its line over all files."""
    stored = []
    for number, path in enumerate(track(logs, "Reading the log", verbose)):
        stored.append(scratch / f"log-{number:04d}.parquet")
        scan_table(path, LOG).sink_parquet(stored[-1], compression="lz4", row_group_size=_ROW_GROUP)
    rows = pl.scan_parquet(stored)
    starts = range(0, rows.select(pl.len()).collect().item(), CHUNK_ROWS)
    for start in track(starts, "Sorting by day", verbose):
        chunk = rows.slice(start, CHUNK_ROWS).collect(engine="streaming").with_row_index(_LINE, offset=start)
        chunk = chunk.with_columns((pl.col("time_ms") // _DAY_MS).alias(_DAY))
        for (day,), part in chunk.partition_by(_DAY, as_dict=True, include_key=False).items():
            folder = scratch / f"day-{day}"
            folder.mkdir(exist_ok=True)
            part.write_parquet(folder / f"{start:012d}.parquet", compression="lz4")
    for path in stored:
        path.unlink()


def _day_files(scratch: Path, day: int) -> list[Path]:
    return sorted((scratch / f"day-{day}").glob("*.parquet"))


def _stretches(scratch: Path, part_rows: int) -> Iterator[tuple[int, int, int]]:
    """Cuts each day into stretches of about `part_rows` rows; whole minutes, so that a moment is in one."""
    for day in sorted(int(path.name.removeprefix("day-")) for path in scratch.glob("day-*")):
        minute = (pl.col("time_ms") // _MINUTE_MS).alias("minute")
        minutes = pl.scan_parquet(_day_files(scratch, day)).group_by(minute).len()
        rows = minutes.collect(engine="streaming").sort("minute")
        cuts = math.ceil(rows["len"].sum() / part_rows)
        # Stretch k ends with the minute that fills its share.
        stretch = ((rows["len"].cum_sum() - 1) * cuts // rows["len"].sum()).alias("stretch")
        first, last = pl.col("minute").min().alias("first"), pl.col("minute").max().alias("last")
        for _, start, end in rows.group_by(stretch).agg(first, last).sort("stretch").rows():
            yield day, start * _MINUTE_MS, (end + 1) * _MINUTE_MS - 1


def _rows_of(
    log: pl.DataFrame, tables: Mapping[FeatureTable, pl.LazyFrame]
) -> tuple[pl.DataFrame, dict[str, int]]:
    kept, counts = deduplicate(log)
    features = {table: _described(stored, kept, table.key) for table, stored in tables.items()}
    rows, unmatched = join_features(kept, features)
    return rows.sort("time_ms", maintain_order=True), {**counts, **unmatched}


def _described(stored: pl.LazyFrame, log: pl.DataFrame, key: str) -> pl.DataFrame:
    """Reads the features of what a part shows: of millions of videos these are some."""
    shown = log.lazy().select(key).unique()
    rows = stored.join(shown, on=key, how="semi", maintain_order="left").collect(engine="streaming")
    return drop_duplicates(rows, [key])[0]
