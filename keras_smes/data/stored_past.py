"""Statistics and histories of stored interactions, in bounded memory.

What was known of a key is counted for a share of the keys at a time, by the very functions that count in
memory, and kept as files; then each part is joined to what concerns its rows. Both are one more layer.
"""

import dataclasses
import datetime
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl

from keras_smes.data.cache import cached
from keras_smes.data.column_types import as_dates, as_times, check_same_days, check_unit
from keras_smes.data.days import AS_OF, known_and_as_of
from keras_smes.data.history import join_items, latest_items, with_histories
from keras_smes.data.progress import track
from keras_smes.data.roles import History
from keras_smes.data.statistics import EVERYTHING, chosen, count_past, statistics_of_rows, with_statistics
from keras_smes.data.stored import Part, StoredInteractions, StoredSplit

FORMAT = 2  # of the files; another number makes them anew
# Keys, each on each day, that are counted at a time. Fewer take less memory and more passes over the rows.
SHARE_ROWS = 2_000_000
_ROW_GROUP = 100_000


def store_past(
    stored: StoredInteractions, frozen_from: datetime.date | None = None, verbose: int = 1
) -> StoredInteractions:
    """Adds the statistics and histories that the data set names, as `with_statistics` does in memory.

    The files are made on the first call and used again by later ones of the same options, as long as the
    files of the rows are the same, by `fingerprints`.

    Args:
        stored: All rows, since earlier ones are the past of later ones.
        frozen_from: Rows dated on or after this day know only what was known at its start. Defaults to
            `None`, which freezes nothing.
        verbose: `0` shows no progress, `1` a bar for each step. Defaults to `1`.

    Returns:
        The same rows with one more layer.

    Raises:
        ValueError: If `stored` was cut by dates.
    """
    if stored.first is not None or stored.last is not None:
        raise ValueError(
            "`stored` must have all rows: cut it after. "
            f"Received: rows from {stored.first} to {stored.last} only"
        )
    roles = with_histories(with_statistics(stored.roles))
    if roles is stored.roles:
        return stored
    recipe = {
        "format": FORMAT,
        "rows": stored.fingerprint(),
        "frozen_from": str(frozen_from),
        "tasks": stored.roles.event_columns,
        "half_life": stored.roles.half_life,
        "keys": [dataclasses.asdict(key) for key in stored.roles.statistics],
        "histories": [dataclasses.asdict(history) for history in stored.roles.histories],
    }
    layer, _ = cached(stored.folder, "past", recipe, lambda out: _write(stored, frozen_from, out, verbose))
    return dataclasses.replace(stored, roles=roles, layers=(*stored.layers, layer.name))


def split_with_past(
    stored: StoredInteractions,
    train_until: datetime.date | None = None,
    test_from: datetime.date | None = None,
    test_until: datetime.date | None = None,
    verbose: int = 1,
) -> StoredSplit:
    """Cuts by dates, with statistics and histories frozen at the first date of the test rows.

    Args:
        stored: The rows to cut.
        train_until: As for `split`.
        test_from: As for `split`.
        test_until: As for `split`.
        verbose: As for `store_past`.

    Returns:
        A `StoredSplit` whose parts carry statistics and histories.
    """
    cut = (train_until, test_from, test_until)
    return store_past(stored, stored.split(*cut).frozen_from, verbose).split(*cut)


@dataclasses.dataclass(frozen=True)
class _Table:
    """What was known as of each day: to be counted a share of its keys at a time.

    Args:
        folder: Where the shares are written.
        columns: The columns of the key.
        needs: What else `count` looks at.
        weight: Rows that a key on a day takes while it is counted.
        count: From rows with `KNOWN` and `AS_OF`, all that have some keys, to what was known of these.
    """

    folder: Path
    columns: tuple[str, ...]
    needs: tuple[str, ...]
    weight: int
    count: Callable[[pl.LazyFrame], pl.DataFrame]

    def concerning(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Returns what was known of the keys and days of some rows."""
        asked = frame.select(*self.columns, AS_OF).unique()
        days = asked.select(pl.col(AS_OF).min().alias("first"), pl.col(AS_OF).max().alias("last"))
        known = pl.scan_parquet(self.folder / "*.parquet").filter(
            pl.col(AS_OF).is_between(days["first"].item(), days["last"].item())
        )
        on = [*self.columns, AS_OF]
        return known.join(asked.lazy(), on=on, how="semi", nulls_equal=True).collect(engine="streaming")


def _write(
    stored: StoredInteractions, frozen_from: datetime.date | None, out: Path, verbose: int
) -> dict[str, int]:
    scratch = out / "scratch"
    counts = {columns: _statistics_table(stored, columns, scratch) for columns in _key_columns(stored)}
    lists = {history: _history_table(stored, history, scratch) for history in stored.roles.histories}
    tables = [*counts.values(), *lists.values()]
    shares = _shares(stored, tables, frozen_from, verbose)
    steps = [(k, share) for k, total in enumerate(shares) for share in range(total)]
    for k, share in track(steps, "Counting the past", verbose):
        _write_share(stored, tables[k], frozen_from, share, shares[k])
    for part, rows in _rows(stored, tables, frozen_from, "Joining the past", verbose):
        _past_of_rows(rows, stored, counts, lists).write_parquet(out / part.name)
    shutil.rmtree(scratch)
    return {"rows": len(stored)}


def _key_columns(stored: StoredInteractions) -> list[tuple[str, ...]]:
    keys = stored.roles.statistics
    return list(dict.fromkeys([(EVERYTHING,), *(key.columns for key in keys)])) if keys else []


def _statistics_table(stored: StoredInteractions, columns: tuple[str, ...], scratch: Path) -> _Table:
    tasks, half_life = stored.roles.event_columns, stored.roles.half_life
    return _Table(
        scratch / "-".join(columns),
        columns,
        tasks,
        1,
        lambda rows: count_past(rows, columns, tasks, half_life),
    )


def _history_table(stored: StoredInteractions, history: History, scratch: Path) -> _Table:
    needs = (history.item, history.label)
    return _Table(
        scratch / history.name,
        (stored.roles.column("user"),),
        needs,
        history.length,
        lambda rows: latest_items(rows, stored.roles, history),
    )


def _scan(
    stored: StoredInteractions,
    tables: Sequence[_Table],
    frozen_from: datetime.date | None,
    parts: Sequence[Part] | None = None,
) -> pl.LazyFrame:
    """Returns the rows with what tables look at, `KNOWN` and `AS_OF`."""
    needed = [stored.roles.column(role) for role in ("time", "date")]
    needed += [name for table in tables for name in (*table.columns, *table.needs)]
    columns = [name for name in dict.fromkeys(needed) if name != EVERYTHING]
    rows = stored.scan(parts, columns).with_columns(*known_and_as_of(stored.roles, frozen_from))
    return rows.with_columns(pl.lit(0).alias(EVERYTHING))


def _rows(
    stored: StoredInteractions,
    tables: Sequence[_Table],
    frozen_from: datetime.date | None,
    label: str,
    verbose: int,
) -> Iterator[tuple[Part, pl.DataFrame]]:
    for part in track(stored.parts, label, verbose):
        with stored.naming([part]):
            rows = _scan(stored, tables, frozen_from, [part]).collect()
            times = as_times(rows[stored.roles.column("time")])
            days = as_dates(rows[stored.roles.column("date")])
            check_unit(times, days)
            check_same_days(times, days)
        yield part, rows


def _shares(
    stored: StoredInteractions, tables: Sequence[_Table], frozen_from: datetime.date | None, verbose: int
) -> list[int]:
    """Returns into how many shares the keys of each table are cut, from at most how many there are."""
    keys = [0] * len(tables)
    for _, rows in _rows(stored, tables, frozen_from, "Counting keys", verbose):
        for number, table in enumerate(tables):
            keys[number] += rows.select(pl.struct(*table.columns, AS_OF).n_unique()).item()
    return [math.ceil(count * table.weight / SHARE_ROWS) for count, table in zip(keys, tables, strict=True)]


def _write_share(
    stored: StoredInteractions, table: _Table, frozen_from: datetime.date | None, share: int, total: int
) -> None:
    rows = _scan(stored, [table], frozen_from)
    if total > 1:
        rows = rows.filter(pl.struct(table.columns).hash() % total == share)
    table.folder.mkdir(parents=True, exist_ok=True)
    # By day, so that a part's days are found without reading all.
    table.count(rows).sort(AS_OF).write_parquet(
        table.folder / f"{share:06d}.parquet", row_group_size=_ROW_GROUP
    )


def _past_of_rows(
    rows: pl.DataFrame,
    stored: StoredInteractions,
    counts: dict[tuple[str, ...], _Table],
    lists: dict[History, _Table],
) -> pl.DataFrame:
    keys, tasks = chosen(stored.roles, None, None)
    layer = []
    if keys:
        layer.append(
            statistics_of_rows(rows, keys, tasks, lambda columns: counts[tuple(columns)].concerning(rows))
        )
    for history, table in lists.items():
        joined = join_items(rows, table.concerning(rows), stored.roles, history)
        layer.append(joined.select(history.name))
    return pl.concat(layer, how="horizontal")
