"""Feature tables: the statistics of each key and the history of each user as of a day, for serving.

They hold what rows of that day see, by the very functions that give them to rows: `with_statistics` and
`with_histories`. Who serves looks a request's keys up in them.
"""

import dataclasses
import datetime
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from keras_smes.data.column_types import as_day
from keras_smes.data.interactions import Interactions
from keras_smes.data.past.days import AS_OF, KNOWN, columns_of_past, known_and_as_of
from keras_smes.data.past.engine import machine_memory
from keras_smes.data.past.histories import latest_items
from keras_smes.data.past.statistics import (
    PastOf,
    check_towards,
    count_past,
    statistic_names,
    statistics_of_rows,
)
from keras_smes.data.roles import KeyGroup
from keras_smes.data.store.interactions import StoredInteractions
from keras_smes.features.schema import FeatureSchema

MANIFEST = "manifest.json"
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class FeatureTable:
    """What is known of each value of some columns.

    Args:
        name: Name of the `KeyGroup` or the `History`.
        columns: The columns of the key. A null is a value of its own.
        rows: `columns` and the features, one row per key.
        default: What a key that is not among the rows has, by feature: numbers, or an empty list.
        towards: Name of an earlier table whose log-odds such a key has in place of the default. Defaults to
            `None`.
    """

    name: str
    columns: tuple[str, ...]
    rows: pl.DataFrame
    default: Mapping[str, Any]
    towards: str | None = None

    @property
    def is_history(self) -> bool:
        """Whether the feature is a list of items."""
        return isinstance(next(iter(self.default.values())), list)

    @property
    def file(self) -> str:
        """Where it lies, below the folder of all tables."""
        return f"{'histories' if self.is_history else 'statistics'}/{self.name}.parquet"

    def fallbacks(self) -> dict[str, str]:
        """Returns of each log-odds the one of `towards` that stands in for it."""
        if self.towards is None:
            return {}
        _, *logodds = self.default
        return {name: self.towards + name.removeprefix(self.name) for name in logodds}


@dataclasses.dataclass(frozen=True)
class FeatureTables:
    """All feature tables of a log as of a day.

    Args:
        as_of: The day: they hold what is known at its start.
        tables: A `FeatureTable` for each `KeyGroup`, then one for each `History`. What one falls back on
            comes before it.
        facts: JSON values that say what they were made of: `data`, the name of the log; `rows`, how many were
            known; `fingerprint`, a digest of these.
    """

    as_of: datetime.date
    tables: tuple[FeatureTable, ...]
    facts: Mapping[str, Any]

    def join(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Returns rows with the features that their keys have.

        Args:
            frame: Rows with the columns of all keys.
        """
        for table in self.tables:
            frame = frame.join(
                table.rows, on=table.columns, how="left", nulls_equal=True, maintain_order="left"
            )
            others = table.fallbacks()
            frame = frame.with_columns(
                pl.col(name).fill_null(
                    pl.col(others[name]) if name in others else pl.lit(value, table.rows.schema[name])
                )
                for name, value in table.default.items()
            )
        return frame

    def write(self, folder: str | Path, facts: Mapping[str, Any] | None = None) -> None:
        """Writes a Parquet file per table, and last `manifest.json`, without which the folder isn't whole.

        Args:
            folder: Where to; made if there is none.
            facts: Further entries of the manifest. Defaults to none.
        """
        folder = Path(folder)
        for table in self.tables:
            (folder / table.file).parent.mkdir(parents=True, exist_ok=True)
            table.rows.write_parquet(folder / table.file)
        manifest = {
            "format": FORMAT,
            "as_of": self.as_of.isoformat(),
            **self.facts,
            **(facts or {}),
            "tables": [_describe(table) for table in self.tables],
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: str | Path) -> "FeatureTables":
        """Reads what `write` wrote.

        Raises:
            FileNotFoundError: There is no manifest: no tables lie there, or not whole ones.
            ValueError: A file isn't the one that was written, or the tables are of another format.
        """
        folder = Path(folder)
        if not (folder / MANIFEST).is_file():
            raise FileNotFoundError(
                f"`folder` must hold whole feature tables. Received: {folder} without {MANIFEST}"
            )
        facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if (found := facts.pop("format", None)) != FORMAT:
            raise ValueError(f"{folder} must have format {FORMAT}: write it again. Received: format={found}")
        tables = tuple(_read_table(folder, described) for described in facts.pop("tables"))
        return cls(datetime.date.fromisoformat(facts.pop("as_of")), tables, facts)


def tables_as_of(rows: Interactions | StoredInteractions, as_of: datetime.date) -> FeatureTables:
    """Returns the statistics and histories that rows of a day see, for each key of the rows before it.

    A key that is not among them sees the table's `default`: no impressions, the log-odds of all rows or of
    the group that its own is smoothed `towards`, and no items.

    Args:
        rows: The log as it was loaded, with `statistics` or `histories` left to add. Of a log on disk the
            columns that these are of are read into memory.
        as_of: The day. A row is known from the day after its own on.

    Returns:
        The `FeatureTables`.

    Raises:
        ValueError: There is nothing to add, no row is known at that day, a group is smoothed towards one
            of columns that it hasn't itself, or the columns of a log on disk take more than its `memory`.

    Example:

    >>> tables = tables_as_of(load("simulated", rows=1_000), datetime.date(2024, 1, 9))
    >>> tables.write("features")
    """
    roles = rows.roles
    keys, tasks = roles.statistics, roles.event_columns
    check_towards(keys)
    if not keys and not roles.histories:
        raise ValueError(
            f"{rows.name} must have statistics or histories, to make tables of. Received: neither"
        )
    interactions = rows if isinstance(rows, Interactions) else _columns_in_memory(rows)
    as_of = as_day("as_of", as_of)
    known = _known(interactions, as_of)

    @cache
    def past(columns: tuple[str, ...]) -> pl.DataFrame:
        return count_past(known, columns, interactions)

    tables = [_statistics(keys, key, tasks, past) for key in keys]
    tables += _histories(interactions, known)
    return FeatureTables(as_of, tuple(tables), _facts(interactions, known))


def _columns_in_memory(stored: StoredInteractions) -> Interactions:
    """Returns rows on disk with no other columns than statistics and histories are of, and labels."""
    roles = stored.roles.with_schema(FeatureSchema(stored.schema.features[:1]))  # there is none of no feature
    columns = list(dict.fromkeys([*_columns_of_past(roles), *roles.label_columns, *roles.schema.names]))
    memory = machine_memory() // 4 if stored.memory is None else stored.memory
    with stored.naming(stored.parts):
        first = stored.scan(stored.parts[:1], columns).collect()
    size = int(first.estimated_size() / max(first.height, 1) * len(stored))
    if size > memory:
        raise ValueError(
            f"`memory` must hold the columns that statistics and histories of {stored.name} are of. "
            f"Received: memory={memory}, {len(stored)} rows of {columns}, about {size} bytes"
        )
    with stored.naming(stored.parts):
        return dataclasses.replace(roles, frame=stored.scan(columns=columns).collect())


def _known(interactions: Interactions, as_of: datetime.date) -> pl.DataFrame:
    """Returns the rows that are known at a day, all of them as of it."""
    interactions.check_same_days()
    rows = interactions.frame.with_columns(*known_and_as_of(interactions))
    known = rows.filter(pl.col(KNOWN) < as_of).with_columns(pl.lit(as_of).alias(AS_OF))
    if known.is_empty():
        first, _ = interactions.dates()
        raise ValueError(
            f"`as_of` must be after the first day of {interactions.name}, {first}. Received: as_of={as_of}"
        )
    return known


def _statistics(keys: Sequence[KeyGroup], key: KeyGroup, tasks: Sequence[str], past: Any) -> FeatureTable:
    chain = list(_chain(keys, key))
    counted: PastOf = lambda columns: past(tuple(columns))  # noqa: E731
    asked = counted(key.columns).select(*key.columns, AS_OF).sort(key.columns)
    names = statistic_names(key, tasks)
    found = statistics_of_rows(asked, chain, tasks, counted).select(names)
    alone = dataclasses.replace(key, towards=None)
    unknown = asked[:1].with_columns(
        pl.lit(None).cast(asked.schema[name]).alias(name) for name in key.columns
    )
    default = statistics_of_rows(
        unknown, [alone], tasks, lambda columns: counted(columns)[: 0 if columns else None]
    )
    rows = pl.concat([asked.drop(AS_OF), found], how="horizontal")
    return FeatureTable(key.name, tuple(key.columns), rows, default.row(0, named=True), key.towards)


def _chain(keys: Sequence[KeyGroup], key: KeyGroup) -> Iterator[KeyGroup]:
    """Yields the groups that a group is smoothed towards, the first one first, and itself."""
    parents = [other for other in keys if other.name == key.towards]
    for parent in parents:
        if missing := sorted(set(parent.columns) - set(key.columns)):
            raise ValueError(
                f"Key {key.name!r} must have the columns of {parent.name!r}, which it is smoothed towards: "
                "add them, so that its statistics depend on its own columns alone. "
                f"Received: columns={list(key.columns)} without {missing}"
            )
        yield from _chain(keys, parent)
    yield key


def _histories(interactions: Interactions, known: pl.DataFrame) -> Iterator[FeatureTable]:
    for history in interactions.histories:
        rows = latest_items(known, interactions, history).drop(AS_OF).sort(interactions.column("user"))
        yield FeatureTable(history.name, (interactions.column("user"),), rows, {history.name: []})


def _facts(interactions: Interactions, known: pl.DataFrame) -> dict[str, Any]:
    hashes = known.select(_columns_of_past(interactions)).hash_rows(seed=0)
    digest = hashlib.blake2b(hashes.to_numpy().tobytes(), digest_size=16).hexdigest()
    return {"data": interactions.name, "rows": known.height, "fingerprint": digest}


def _columns_of_past(roles: Interactions) -> list[str]:
    """The days of rows, and the columns that statistics and histories are of."""
    days = [roles.column(role) for role in ("time", "date")]
    return list(dict.fromkeys([*days, *columns_of_past(roles)]))


def _describe(table: FeatureTable) -> dict[str, Any]:
    described = dataclasses.asdict(dataclasses.replace(table, rows=None))  # type: ignore[arg-type]
    return {**described, "rows": table.rows.height, "file": table.file}


def _read_table(folder: Path, described: Mapping[str, Any]) -> FeatureTable:
    path = folder / described["file"]
    rows = pl.read_parquet(path)
    if rows.height != described["rows"]:
        raise ValueError(f"{path} must have {described['rows']} rows. Received: {rows.height} rows")
    columns = tuple(described["columns"])
    return FeatureTable(described["name"], columns, rows, described["default"], described["towards"])
