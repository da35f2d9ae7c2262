"""Makes label columns: positive strings, thresholds, units; for rows to train on, and for rows to score."""

from collections.abc import Callable

import polars as pl

from keras_smes.data.log.checks import check_columns, check_there
from keras_smes.data.log.declaration import Label, Log

# From some rows to the same rows with labels.
Labelling = Callable[[pl.DataFrame], pl.DataFrame]


def labelling(rows: pl.LazyFrame, log: Log) -> Labelling:
    """Returns what gives rows a column named after each label's task, null where the label is unknown.

    Args:
        rows: All rows: each value that is positive must be in one of them.
        log: The `Log`.

    Raises:
        ValueError: A column is missing, has no such values, or the task has the name of another column.
    """
    for label in log.labels:
        if label.positive and label.column in rows.collect_schema():
            values = rows.select(pl.col(label.column).unique()).collect(engine="streaming")
            _check_positive(values[label.column], label)

    def label_rows(some: pl.DataFrame) -> pl.DataFrame:
        some = some.with_columns(_made(some, label) for label in log.labels)
        check_columns(some, log)
        return some

    return label_rows


def labelling_if_known(rows: pl.LazyFrame, log: Log) -> Labelling:
    """Returns what gives rows all columns that are known only afterwards.

    They are null in each row if they are missing or null in all of `rows`.
    """
    unknown = _unknown_columns(rows, log)
    made = [label for label in log.labels if label.column not in unknown]
    empty = [pl.lit(None).alias(name) for name in sorted(unknown - {label.task for label in made})]

    def label_rows(some: pl.DataFrame) -> pl.DataFrame:
        check_there(some.columns, "user", [log.user] if log.user else [])
        return some.with_columns(_made(some, label) for label in made).with_columns(empty)

    return label_rows


def _unknown_columns(rows: pl.LazyFrame, log: Log) -> set[str]:
    """The columns that are known only afterwards and are missing, or null in all rows."""
    own = {label.column for label in log.labels} | {history.label for history in log.histories}
    late = own | {name for name, role in log.roles().items() if role in ("label", "condition", "outcome")}
    late |= {column for task in log.tasks for column in task.columns} | set(log.rates or ())
    there = sorted(late & set(rows.collect_schema().names()))
    known = rows.select(pl.col(there).is_not_null().any()).collect(engine="streaming")
    return late - {name for name in there if known[name].any()}


def _made(frame: pl.DataFrame, label: Label) -> pl.Series:
    check_there(frame.columns, "label", [label.column])
    if label.task in frame.columns and label.task != label.column:
        raise ValueError(
            f"A task with a label that is made must not be named as a column. Received: {label.task!r}"
        )
    values = frame[label.column]
    if label.positive:
        made = _is_positive(values, label)
    elif not values.dtype.is_numeric():
        raise ValueError(
            f"Column {label.column!r} of task {label.task!r} must hold numbers. Received: {values.dtype}"
        )
    elif label.at_least is not None:
        made = (values >= label.at_least).cast(pl.Int8)
    else:
        made = values.cast(pl.Float64) * label.scale
    return made.alias(label.task)


def _is_positive(values: pl.Series, label: Label) -> pl.Series:
    try:
        known = pl.Series(list(label.positive), dtype=values.dtype)
        return values.is_in(known.implode()).cast(pl.Int8)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise ValueError(
            f"`positive` of task {label.task!r} must be values of column {label.column!r}, {values.dtype}. "
            f"Received: {list(label.positive)}"
        ) from error


def _check_positive(values: pl.Series, label: Label) -> None:
    """Stops if none of the distinct values of a column is one that a label takes as positive."""
    _is_positive(values, label)
    absent = [value for value in label.positive if value not in set(values)]
    if absent:
        raise ValueError(
            f"`positive` of task {label.task!r} must be values of column {label.column!r}, such as "
            f"{values.drop_nulls().sort().head(10).to_list()}. Received: {absent}"
        )
