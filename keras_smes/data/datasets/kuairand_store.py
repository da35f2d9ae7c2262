"""KuaiRand of any size: from the official files to Parquet files in order of time, in bounded memory.

In memory is what DuckDB takes to sort the log, or the rows of one part with the features of their users and
videos. The rows that come out are those of `load_kuairand`.
"""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from keras_smes.console import track
from keras_smes.data.datasets.kuairand import LOG, Release, SideTable, impressions, open_release
from keras_smes.data.files.csv_reader import check_unique, scan_table
from keras_smes.data.past.engine import Combine, DuckDB
from keras_smes.data.past.expressions import PLACE
from keras_smes.data.store.cache import cache_folder, fingerprints
from keras_smes.data.store.interactions import StoredInteractions
from keras_smes.data.store.part import PART_ROWS, ROWS, cached_parts, write_parts
from keras_smes.tasks import Task
from keras_smes.validation import check_count


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
    made, parts, values = cached_parts(
        cache_folder(cache),
        f"kuairand-{variant}",
        {"files": fingerprints(files), "columns": columns, "part_rows": part_rows},
        lambda out: _write(release, out, part_rows, verbose),
    )
    days = pl.Series("date", sorted({day for part in parts for day in part.rows}), dtype=pl.Date)
    empty = pl.scan_parquet(made / ROWS / parts[0].name).select(release.columns).head(0).collect()
    roles = release.interactions(empty, values["counts"], days)
    return StoredInteractions(roles, made, parts, split_dates=roles.split_dates)


def _write(release: Release, out: Path, part_rows: int, verbose: int) -> dict[str, Any]:
    scratch = out / "scratch"
    tables = {table: _side_table(table, scratch, verbose) for table in release.tables}
    log = _log_in_order(release.logs, scratch, verbose)
    counts: Counter[str] = Counter()

    def part(moments: tuple[int, int]) -> pl.DataFrame:
        rows = log.filter(pl.col("time_ms").is_between(*moments, closed="left")).collect(engine="streaming")
        frame, added = impressions(rows.sort("time_ms", PLACE).drop(PLACE), tables)
        counts.update(added)
        return frame

    stretches = track(_stretches(log, part_rows), "Joining features", verbose)
    written = write_parts(out, map(part, stretches), "date")
    if not written["parts"]:
        raise ValueError(f"The log must have rows. Received: none in {[str(path) for path in release.logs]}")
    shutil.rmtree(scratch)
    return {"counts": counts, **written}


def _side_table(table: SideTable, scratch: Path, verbose: int) -> pl.LazyFrame:
    """Checks the files of a side table and returns them as Parquet files not yet read."""
    stored = []
    for path in track(table.paths, f"Reading the features by {table.key}", verbose):
        stored.append(scratch / f"{path.stem}.parquet")
        scan_table(path, table.columns).sink_parquet(stored[-1], mkdir=True)
        check_unique(path, pl.scan_parquet(stored[-1]), table.key)
    return pl.scan_parquet(stored)


def _log_in_order(logs: Sequence[Path], scratch: Path, verbose: int) -> pl.LazyFrame:
    """Returns the log's rows in order of time and of their place in the files, not yet read."""
    place = 0
    for number, path in enumerate(track(logs, "Reading the log", verbose)):
        file = scratch / "log" / f"{number:04d}.parquet"
        scan_table(path, LOG).with_row_index(PLACE, place).sink_parquet(file, compression="lz4", mkdir=True)
        place += pl.scan_parquet(file).select(pl.len()).collect().item()
    in_order: Combine = lambda tables: tables["log"].order_by(["time_ms", PLACE])  # noqa: E731
    DuckDB().combine({"log": scratch / "log"}, in_order, scratch / "sorted")
    shutil.rmtree(scratch / "log")
    return pl.scan_parquet(scratch / "sorted" / "*.parquet")


def _stretches(log: pl.LazyFrame, part_rows: int) -> list[tuple[int, int]]:
    """Returns from and until which moment each part has rows: about `part_rows`, and all of a moment."""
    times, rows = log.select("time_ms"), log.select(pl.len()).collect().item()
    starts = [times.slice(start, 1).collect().item() for start in range(0, rows, part_rows)]
    return list(pairwise([*dict.fromkeys(starts), 2**63 - 1]))
