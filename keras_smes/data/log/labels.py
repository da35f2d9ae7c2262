"""Makes label columns: positive strings, thresholds, units."""

from collections.abc import Collection, Sequence

import polars as pl

from keras_smes.data.log.declaration import Label, Log


def with_labels(frame: pl.DataFrame, labels: Sequence[Label], all_values: bool = True) -> pl.DataFrame:
    """Returns rows with a column named after each label's task, null where the label is unknown.

    Args:
        frame: The rows.
        labels: How labels are made.
        all_values: Whether these are all rows, with each of the values that are positive. Defaults to `True`.

    Raises:
        ValueError: A column is missing, has no such values, or the task has the name of another column.
    """
    return frame.with_columns([_made(frame, label, all_values) for label in labels])


def unknown_columns(rows: pl.LazyFrame, log: Log) -> set[str]:
    """Returns which of the columns that are known only afterwards are missing, or null in all rows."""
    own = {label.column for label in log.labels} | {history.label for history in log.histories}
    late = own | {name for name, role in log.roles().items() if role in ("label", "condition", "outcome")}
    late |= {column for task in log.tasks for column in task.columns} | set(log.rates or ())
    there = sorted(late & set(rows.collect_schema().names()))
    known = rows.select(pl.col(there).is_not_null().any()).collect(engine="streaming")
    return late - {name for name in there if known[name].any()}


def with_labels_if_known(frame: pl.DataFrame, log: Log, unknown: Collection[str]) -> pl.DataFrame:
    """Returns rows with all columns that are known only afterwards, null in each row where there are none.

    Args:
        frame: The rows, all or some.
        log: The `Log`.
        unknown: What `unknown_columns` returns of all rows.
    """
    made = [label for label in log.labels if label.column not in unknown]
    present = frame.with_columns(_made(frame, label, all_values=False) for label in made)
    empty = set(unknown) - {label.task for label in made}
    return present.with_columns(pl.lit(None).alias(name) for name in sorted(empty))


def _made(frame: pl.DataFrame, label: Label, all_values: bool = True) -> pl.Series:
    if label.column not in frame.columns:
        raise ValueError(
            f"Task {label.task!r} must have a label column that is there. Received: {label.column!r}"
        )
    if label.task in frame.columns and label.task != label.column:
        raise ValueError(
            f"A task with a label that is made must not be named as a column. Received: {label.task!r}"
        )
    values = frame[label.column]
    if label.positive:
        made = _positive(values, label, all_values)
    elif not values.dtype.is_numeric():
        raise ValueError(
            f"Column {label.column!r} of task {label.task!r} must hold numbers. Received: {values.dtype}"
        )
    elif label.at_least is not None:
        made = (values >= label.at_least).cast(pl.Int8)
    else:
        made = values.cast(pl.Float64) * label.scale
    return made.alias(label.task)


def _positive(values: pl.Series, label: Label, all_values: bool) -> pl.Series:
    try:
        known = pl.Series(list(label.positive), dtype=values.dtype)
        made = values.is_in(known.implode()).cast(pl.Int8)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise ValueError(
            f"`positive` of task {label.task!r} must be values of column {label.column!r}, {values.dtype}. "
            f"Received: {list(label.positive)}"
        ) from error
    absent = [value for value in label.positive if value not in set(values.unique())]
    if absent and all_values:
        raise ValueError(
            f"`positive` of task {label.task!r} must be values of column {label.column!r}, such as "
            f"{values.unique().drop_nulls().sort().head(10).to_list()}. Received: {absent}"
        )
    return made
