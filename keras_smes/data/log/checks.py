"""Checks of a declared log against the columns that its files have."""

from collections.abc import Collection, Sequence
from pathlib import Path

import polars as pl

from keras_smes.data.column_types import as_marks
from keras_smes.data.log.declaration import Log, Table
from keras_smes.data.past.leaks import OUTCOME, refuse_leaks
from keras_smes.validation import nearest


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
        refuse_leaks("features", dict.fromkeys(outcomes & set(names), OUTCOME), allow_leaks=False)
        check_there(there, "features", names)


def check_height(rows: pl.LazyFrame, files: Sequence[Path]) -> int:
    """Returns how many rows a log has; stops if there are none."""
    height: int = rows.select(pl.len()).collect().item()
    if not height:
        raise ValueError(f"A log must have rows. Received: none in {len(files)} files, the first {files[0]}")
    return height


def check_table(table: Table, rows: pl.Schema, entries: pl.LazyFrame) -> None:
    """Stops if a side table can't be joined: it is empty, its key is no key, or a column is there twice."""
    if not entries.select(pl.len()).collect().item():
        raise ValueError(f"Table {table.files[0]} must have rows. Received: a header without any")
    key, types = list(table.key), entries.collect_schema()
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


def check_keys(table: Table, repeated: pl.DataFrame) -> None:
    """Stops if a side table has keys more than once.

    Args:
        table: The table.
        repeated: These keys.
    """
    for key in repeated.head(1).rows():
        raise ValueError(
            f"Table {table.files[0]} must have each key {list(table.key)} once. Received: {key} again"
        )


def check_memory(frame: pl.DataFrame, log: Log) -> None:
    """Stops if rows take more than the log's `memory`."""
    size = frame.estimated_size()
    if log.memory is not None and size > log.memory:
        raise ValueError(
            f"`memory` must hold the rows; `store_log` keeps them on disk. Received: memory={log.memory}, "
            f"{frame.height} rows of {size} bytes"
        )
