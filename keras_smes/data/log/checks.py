"""Checks of a declared log against the columns that its files have."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import polars as pl

from keras_smes.data.column_types import as_marks
from keras_smes.data.files.reader import FILE, first_row
from keras_smes.data.log.declaration import Log, Table
from keras_smes.data.past.leaks import OUTCOME, reject_leaks
from keras_smes.validation import nearest

KEYS_AT_A_TIME = 4_000_000
_ROW = "__row"


def check_there(there: Collection[str], role: str, columns: Sequence[str]) -> None:
    """Stops if columns of a role are not among those that are there."""
    if missing := sorted(set(columns) - set(there)):
        shown = [name for name in there if not name.startswith("__")]
        raise ValueError(
            f"`{role}` must name columns that are there. Received: {missing}, not in {shown}"
            f"{nearest(missing[0], shown)}"
        )


def check_columns(frame: pl.DataFrame, log: Log) -> None:
    """Stops if rows with labels lack a column that the log names, or an outcome is a feature."""
    there, roles = frame.columns, log.roles()
    for column, role in roles.items():
        check_there(there, role, [column])
    check_there(there, "statistics", [column for group in log.statistics for column in group.columns])
    check_there(there, "histories", [column for past in log.histories for column in (past.item, past.label)])
    check_there(there, "rates", log.rates or ())
    if log.skip_training is not None:
        as_marks(frame[log.skip_training])
    if not isinstance(log.features, str):
        names = [feature.name for feature in log.features]
        outcomes = {column for column, role in roles.items() if role in ("label", "condition", "outcome")}
        reject_leaks("features", dict.fromkeys(outcomes & set(names), OUTCOME), allow_leaks=False)
        check_there(there, "features", names)


def check_height(rows: pl.LazyFrame, files: Sequence[Path]) -> int:
    """Returns how many rows a log has; stops if there are none."""
    height: int = rows.select(pl.len()).collect().item()
    if not height:
        raise ValueError(f"A log must have rows. Received: none in {len(files)} files, the first {files[0]}")
    return height


def check_table(table: Table, files: Sequence[Path], entries: pl.LazyFrame, rows: pl.Schema) -> pl.LazyFrame:
    """Returns what a side table adds to rows.

    Args:
        table: The table.
        files: Its files.
        entries: What these hold, with `FILE`.
        rows: Columns of the rows, and of the tables before.

    Raises:
        ValueError: The table can't be joined: it is empty, its key is no key, or a column is there twice.
    """
    own = entries.drop(FILE)
    if not own.select(pl.len()).collect().item():
        raise ValueError(f"Table {table.files[0]} must have rows. Received: a header without any")
    key, types = list(table.key), own.collect_schema()
    for where, columns in (("rows", rows), (f"table {table.files[0]}", types)):
        if missing := sorted(set(key) - set(columns)):
            raise ValueError(
                f"`key` must be columns of rows and table. Received: {missing} not in the {where}"
            )
    if repeated := sorted((set(types) & set(rows)) - set(key)):
        raise ValueError(
            f"Table {table.files[0]} must have other columns than the rows. Received: {repeated}"
        )
    for name in key:
        if rows[name].is_numeric() != types[name].is_numeric():
            raise ValueError(
                f"`key` {name!r} must have one type. Received: {rows[name]} in the rows, "
                f"{types[name]} in {table.files[0]}"
            )
    check_keys(key, entries, files)
    return own


def check_keys(key: Sequence[str], entries: pl.LazyFrame, files: Sequence[Path]) -> None:
    """Stops if a key is in more than one row; a share of the keys at a time is in memory.

    Args:
        key: Its columns.
        entries: Rows of a side table, with `FILE`.
        files: The files that they are of.
    """
    rows = entries.select(FILE, *key).with_row_index(_ROW)
    shares = math.ceil(rows.select(pl.len()).collect().item() / KEYS_AT_A_TIME)
    for share in range(shares):
        some = rows.filter(pl.struct(key).hash() % shares == share).collect(engine="streaming").sort(_ROW)
        for row, file, *again in some.filter(~pl.struct(key).is_first_distinct()).head(1).rows():
            first = rows.filter(pl.col(FILE) == file).select(pl.col(_ROW).min()).collect().item()
            raise ValueError(
                f"{files[file]}, row {row - first + first_row(files[file])}: must have each key {list(key)} "
                f"once. Received: {tuple(again)} again"
            )


def check_memory(frame: pl.DataFrame, log: Log) -> None:
    """Stops if rows take more than the log's `memory`."""
    size = frame.estimated_size()
    if log.memory is not None and size > log.memory:
        raise ValueError(
            f"`memory` must hold the rows; `store_log` keeps them on disk. Received: memory={log.memory}, "
            f"{frame.height} rows of {size} bytes"
        )
