"""Makes label columns out of what a log holds: strings that are positive, thresholds, units."""

from collections.abc import Sequence

import polars as pl

from keras_smes.data.log.declaration import Label


def with_labels(frame: pl.DataFrame, labels: Sequence[Label]) -> pl.DataFrame:
    """Returns rows with a column named after each label's task, null where the label is unknown.

    Raises:
        ValueError: A column is missing, has no such values, or the task has the name of another column.
    """
    return frame.with_columns([_made(frame, label) for label in labels])


def _made(frame: pl.DataFrame, label: Label) -> pl.Series:
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
        made = _positive(values, label)
    elif not values.dtype.is_numeric():
        raise ValueError(
            f"Column {label.column!r} of task {label.task!r} must hold numbers. Received: {values.dtype}"
        )
    elif label.at_least is not None:
        made = (values >= label.at_least).cast(pl.Int8)
    else:
        made = values.cast(pl.Float64) * label.scale
    return made.alias(label.task)


def _positive(values: pl.Series, label: Label) -> pl.Series:
    try:
        known = pl.Series(list(label.positive), dtype=values.dtype)
        made = values.is_in(known.implode()).cast(pl.Int8)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise ValueError(
            f"`positive` of task {label.task!r} must be values of column {label.column!r}, {values.dtype}. "
            f"Received: {list(label.positive)}"
        ) from error
    if absent := [value for value in label.positive if value not in set(values.unique())]:
        raise ValueError(
            f"`positive` of task {label.task!r} must be values of column {label.column!r}, such as "
            f"{values.unique().drop_nulls().sort().head(10).to_list()}. Received: {absent}"
        )
    return made
