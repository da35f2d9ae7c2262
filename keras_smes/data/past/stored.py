"""Statistics and histories of stored interactions, in bounded memory.

What was known of each key as of each day is computed by an engine that works from files, by the very
expressions that compute it in memory; then each part is joined to what concerns its rows. Both are one more
layer.
"""

import dataclasses
import datetime
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import polars as pl
from ibis.expr.types import Table

from keras_smes.console import track
from keras_smes.data.column_types import as_dates, as_times, check_same_days, check_unit
from keras_smes.data.interactions import Interactions
from keras_smes.data.past.days import AS_OF, KNOWN, columns_of_past, days_of, known_and_as_of
from keras_smes.data.past.engine import Build, DuckDB, Engine, plain
from keras_smes.data.past.expressions import PLACE
from keras_smes.data.past.histories import Listing, join_items, with_histories
from keras_smes.data.past.statistics import Counting, PastOf, statistics_of_rows, with_statistics
from keras_smes.data.roles import History
from keras_smes.data.store.cache import cached
from keras_smes.data.store.interactions import StoredInteractions, StoredSplit
from keras_smes.data.store.part import ROW_GROUP, Part

FORMAT = 3  # of the files; another number makes them anew


def store_past(
    stored: StoredInteractions,
    frozen_from: datetime.date | None = None,
    verbose: int = 1,
    engine: Engine | None = None,
) -> StoredInteractions:
    """Adds the statistics and histories that the data set names, as `with_statistics` does in memory.

    The files are made on the first call and used again by later ones of the same options, as long as the
    files of the rows are the same, by `fingerprints`.

    Args:
        stored: All rows, since earlier ones are the past of later ones.
        frozen_from: Rows dated on or after this day know only what was known at its start. Defaults to
            `None`, which freezes nothing.
        verbose: `0` shows no progress, `1` a bar for each step. Defaults to `1`.
        engine: What counts and lists. Defaults to `None`, `DuckDB` within the memory of `stored`.

    Returns:
        The same rows with one more layer.

    Raises:
        ValueError: If `stored` was cut by dates.
    """
    if stored.first is not None or stored.last is not None or stored.is_test is not None:
        raise ValueError(
            "`stored` must have all rows: cut it after. "
            f"Received: rows from {stored.first} to {stored.last} only, is_test={stored.is_test}"
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
    build = partial(_write, stored, frozen_from, engine or DuckDB.within(stored.memory), verbose)
    layer, _ = cached(stored.folder, "past", recipe, build)
    return dataclasses.replace(stored, roles=roles, layers=(*stored.layers, layer.name))


def split_with_past(
    stored: StoredInteractions,
    train_until: datetime.date | None = None,
    test_from: datetime.date | None = None,
    test_until: datetime.date | None = None,
    verbose: int = 1,
    engine: Engine | None = None,
) -> StoredSplit:
    """Cuts by dates, with statistics and histories frozen at the first date of the test rows.

    Args:
        stored: The rows to cut.
        train_until: As for `split`.
        test_from: As for `split`.
        test_until: As for `split`.
        verbose: As for `store_past`.
        engine: As for `store_past`.

    Returns:
        A `StoredSplit` whose parts carry statistics and histories.
    """
    cut = (train_until, test_from, test_until)
    return store_past(stored, stored.split(*cut).frozen_from, verbose, engine).split(*cut)


@dataclasses.dataclass(frozen=True)
class _Table:
    """What was known of some columns as of each day: how it is computed, and in which folder it lies."""

    folder: Path
    columns: tuple[str, ...]
    build: Build

    def in_order(self, rows: Table) -> Table:
        """Returns the result by day, so that a part's days are found without reading all."""
        return self.build(rows).order_by(AS_OF)

    def concerning(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Returns what was known of the keys and days of some rows."""
        on = [*self.columns, AS_OF]
        asked = rows.select(on).unique()
        first, last = asked.select(pl.col(AS_OF).min(), last=pl.col(AS_OF).max()).row(0)
        known = pl.scan_parquet(self.folder / "*.parquet").filter(pl.col(AS_OF).is_between(first, last))
        known = known.cast({name: asked.schema[name] for name in on})
        return known.join(asked.lazy(), on=on, how="semi", nulls_equal=True).collect(engine="streaming")


def _write(
    stored: StoredInteractions, frozen_from: datetime.date | None, engine: Engine, verbose: int, out: Path
) -> dict[str, int]:
    scratch = out / "scratch"
    days = _write_rows(stored, frozen_from, verbose, scratch / "rows")
    counts = _counts(stored.roles, days, scratch)
    lists = _lists(stored.roles, scratch)
    for table in track([*counts.values(), *lists.values()], "Counting the past", verbose):
        engine.write(scratch / "rows", table.in_order, table.folder)
    for part in track(stored.parts, "Joining the past", verbose):
        rows = pl.read_parquet(scratch / "rows" / part.name)
        _past_of_rows(rows, stored.roles, counts, lists).write_parquet(out / part.name)
    shutil.rmtree(scratch)
    return {"rows": len(stored)}


def _write_rows(
    stored: StoredInteractions, frozen_from: datetime.date | None, verbose: int, folder: Path
) -> int:
    """Writes what the past is computed of, for each part, and returns how many days the rows are of."""
    folder.mkdir(parents=True)
    place, bounds = 0, []
    for part in track(stored.parts, "Reading what counts", verbose):
        rows = _rows_of(stored, part, frozen_from).with_row_index(PLACE, offset=place)
        rows.write_parquet(folder / part.name, row_group_size=ROW_GROUP)
        place += rows.height
        days = rows.select(KNOWN, AS_OF)
        bounds += [days.min(), days.max()]
    return days_of(pl.concat(bounds))


def _rows_of(stored: StoredInteractions, part: Part, frozen_from: datetime.date | None) -> pl.DataFrame:
    roles, names = stored.roles, columns_of_past(stored.roles)
    times, dates = roles.column("time"), roles.column("date")
    with stored.naming([part]):
        rows = stored.scan([part], list(dict.fromkeys([times, dates, *names]))).collect()
        check_unit(as_times(rows[times]), as_dates(rows[dates]))
        check_same_days(as_times(rows[times]), as_dates(rows[dates]))
    return plain(rows.select(*names, *known_and_as_of(roles, frozen_from)))


def _counts(roles: Interactions, days: int, scratch: Path) -> dict[tuple[str, ...], _Table]:
    """Returns the tables of statistics by their columns; those of none count all rows."""
    if not roles.statistics:
        return {}
    columns = dict.fromkeys([(), *(tuple(key.columns) for key in roles.statistics)])
    return {
        names: _Table(
            scratch / f"counts-{place}", names, Counting(names, roles.event_columns, roles.half_life, days)
        )
        for place, names in enumerate(columns)
    }


def _lists(roles: Interactions, scratch: Path) -> dict[History, _Table]:
    return {
        history: _Table(
            scratch / f"list-{place}", (roles.column("user"),), Listing(roles.column("user"), history)
        )
        for place, history in enumerate(roles.histories)
    }


def _past_of_rows(
    rows: pl.DataFrame,
    roles: Interactions,
    counts: Mapping[tuple[str, ...], _Table],
    lists: Mapping[History, _Table],
) -> pl.DataFrame:
    layer = []
    if counts:
        past_of: PastOf = lambda columns: counts[tuple(columns)].concerning(rows)  # noqa: E731
        layer.append(statistics_of_rows(rows, roles.statistics, roles.event_columns, past_of))
    for history, table in lists.items():
        items = pl.List(roles.frame.schema[history.item])
        joined = join_items(rows, table.concerning(rows), roles, history)
        layer.append(joined.select(pl.col(history.name).cast(items)))
    return pl.concat(layer, how="horizontal")
