"""Rows below the earlier rows of another log, so that they get its statistics and histories."""

import dataclasses
import datetime
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import polars as pl

from keras_smes.data.interactions import Interactions
from keras_smes.data.past.days import columns_of_past
from keras_smes.data.rows import Rows
from keras_smes.data.store.cache import cache_folder
from keras_smes.data.store.interactions import StoredInteractions
from keras_smes.data.store.part import PART_ROWS, cached_parts, write_parts
from keras_smes.features.schema import FeatureSchema


def has_outcomes(rows: Rows, past: Rows) -> bool:
    """Returns whether rows have the labels that the statistics and histories of a log are of."""
    names = sorted(_outcomes(past.roles))
    if not set(names) <= set(rows.scan().collect_schema().names()):
        return False
    known = rows.scan().select([pl.col(name).is_not_null().any() for name in names])
    return all(known.collect(engine="streaming").row(0)) if names else True


def under_past(
    rows: Rows, past: Rows, schema: FeatureSchema, keys: Mapping[str, str], labels: bool, recipe: Any
) -> Rows:
    """Returns the rows of a log before the first day of other rows, and these below.

    They are in memory if both are; else on disk, of which a part at a time is in memory.

    Args:
        rows: The other rows.
        past: The log, whose names of user, time and date the columns get.
        schema: The features.
        keys: Further columns of `rows`, by the names that they get.
        labels: Whether the labels of `rows` are kept; they are unknown otherwise.
        recipe: JSON values that say what rows and past are.

    Raises:
        ValueError: A column is missing or has another type; or, on disk, a row of the past is later than the
            first of the rows, though of an earlier date.
    """
    ours, theirs = rows.roles, past.roles
    columns = [*_columns(theirs, schema), *keys]

    def of_past(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.lit(None).alias(name) for name in keys).select(columns)

    def of_rows(frame: pl.DataFrame) -> pl.DataFrame:
        frame = frame.with_columns(pl.col(column).alias(name) for name, column in keys.items())
        frame = _renamed(frame, ours, theirs, labels)
        if missing := [name for name in columns if name not in frame.columns]:
            raise ValueError(f"The rows must have the columns of {past.name}. Received: missing={missing}")
        return frame.select(columns)

    empty = _empty(of_past(theirs.frame.clear()), of_rows(ours.frame.clear()), past.name)
    roles = dataclasses.replace(
        theirs,
        frame=empty, schema=schema, split_dates=None, test_column=None, weight=None,
        request=None, skip_training=None, memory=theirs.memory or ours.memory,
    )  # fmt: skip
    before = rows.dates()[0] - datetime.timedelta(days=1)
    earlier = [past.between(None, before)] if past.dates()[0] <= before else []
    pieces = itertools.chain(_each(of_past, earlier), _each(of_rows, [rows]))
    frames = (frame.cast(empty.schema) for frame in pieces)
    if isinstance(past, Interactions) and isinstance(rows, Interactions):
        frame = pl.concat(frames).sort(roles.column("time"), maintain_order=True)
        return dataclasses.replace(roles, frame=frame)
    _check_order([*earlier, rows])
    types = {name: str(own) for name, own in empty.schema.items()}
    slices = (part for frame in frames for part in frame.iter_slices(PART_ROWS))
    made, parts, _ = cached_parts(
        cache_folder(),
        "with-past",
        {"columns": types, "labels": labels, **recipe},
        lambda out: write_parts(out, slices, roles.column("date")),
    )
    return StoredInteractions(roles, made, parts)


def _each(change: Callable[[pl.DataFrame], pl.DataFrame], several: Iterable[Rows]) -> Iterable[pl.DataFrame]:
    return (change(piece.frame) for rows in several for _, piece in rows.pieces())


def _check_order(several: list[Rows]) -> None:
    for earlier, rows in itertools.pairwise(several):
        last, first = earlier.times()[1], rows.times()[0]
        if last > first:
            raise ValueError(
                f"Rows on disk must not be before rows of {earlier.name} of earlier dates; a larger `memory` "
                f"takes them. Received: {rows.name} from moment {first}, {earlier.name} until {last}"
            )


def _empty(past: pl.DataFrame, rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """Returns no rows, with columns that hold those of both."""
    for column in rows.columns:
        ours, theirs = rows[column].dtype, past[column].dtype
        if pl.Null not in (ours, theirs) and ours.is_numeric() != theirs.is_numeric():
            raise ValueError(
                f"Column {column!r} must have the type that it has in {name}, {theirs}. Received: {ours}"
            )
    return pl.concat([past, rows], how="vertical_relaxed")


def _outcomes(past: Interactions) -> set[str]:
    """The labels that statistics and histories are of."""
    counted = past.event_columns if past.statistics else ()
    return {*counted, *(history.label for history in past.histories)}


def _columns(past: Interactions, schema: FeatureSchema) -> list[str]:
    names = [past.user, past.time, past.date, *schema.names, *past.label_columns, *past.event_columns]
    names += columns_of_past(past)
    return [name for name in dict.fromkeys(names) if name is not None]


def _renamed(frame: pl.DataFrame, rows: Interactions, past: Interactions, labels: bool) -> pl.DataFrame:
    """The rows with user, time and date named as in the past, and outcomes that they don't have unknown."""
    pairs = {getattr(rows, role): getattr(past, role) for role in ("user", "time", "date")}
    own = {old: new for old, new in pairs.items() if None not in (old, new) and old != new}
    frame = frame.drop([new for new in own.values() if new in frame.columns]).rename(own)
    late = {*past.label_columns, *past.event_columns, *_outcomes(past)}
    unknown = [name for name in sorted(late) if not labels or name not in frame.columns]
    return frame.with_columns(pl.lit(None).alias(name) for name in unknown)
