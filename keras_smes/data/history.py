"""Behaviour sequences: the last items that a user liked to watch before the day of a row.

Which rows are before a day says `keras_smes.data.days`, as for the statistics.
"""

import dataclasses
import datetime
from typing import Any

import numpy as np
import polars as pl

from keras_smes.data.days import AS_OF, KNOWN, known_and_as_of
from keras_smes.data.interactions import Interactions
from keras_smes.data.roles import History
from keras_smes.features.categories import Category
from keras_smes.features.schema import FeatureSchema, Sequence

_USER_CODE = "__user_code"


def with_histories(interactions: Interactions, frozen_from: datetime.date | None = None) -> Interactions:
    """Adds the behaviour sequences of `interactions.histories` to the rows and to the schema.

    A row of user u gets the items of the last `length` rows of u that are positive and strictly before
    the day of the row, the newest last. Its feature shares the embedding table of the item's. A row whose
    user is null has an empty list, and is in no list.

    Args:
        interactions: Rows to add to; both training and test rows, since the former are the latter's past.
        frozen_from: As for `with_statistics`. Defaults to `None`.

    Returns:
        New interactions with the same rows, a list column for each history, and no `histories` left to add.

    Raises:
        ValueError: If an item is no category of the schema, or dates and times are of other days.

    Example:

    >>> watched = History("history_video_id", item="video_id", label="long_view", length=20)
    >>> data = with_histories(dataclasses.replace(data, histories=(watched,)))
    """
    if not interactions.histories:
        return interactions
    interactions.check_same_days()
    roles = _roles_with(interactions)
    frame = interactions.frame.with_columns(*known_and_as_of(interactions, frozen_from))
    for history in interactions.histories:
        latest = latest_items(frame.lazy(), interactions, history)
        frame = join_items(frame, latest, interactions, history)
    return dataclasses.replace(interactions, frame=frame.drop(KNOWN, AS_OF), **roles)


def _roles_with(interactions: Interactions) -> dict[str, Any]:
    schema = interactions.schema
    for history in interactions.histories:
        schema = _with_sequence(schema, history)
    return {"schema": schema, "histories": ()}


def _with_sequence(schema: FeatureSchema, history: History) -> FeatureSchema:
    item = schema[history.item] if history.item in schema.names else None
    if not isinstance(item, Category):
        raise ValueError(
            f"`item` must be a category of the schema. Received: item={history.item!r} "
            f"(history {history.name!r})"
        )
    item = dataclasses.replace(item, table=item.table_name)
    sequence = Sequence(
        history.name,
        dim=item.dim,
        items="integer" if item.dtype == "int64" else "string",
        vocabulary=getattr(item, "vocabulary", None),
        min_count=getattr(item, "min_count", 1),
        num_bins=getattr(item, "num_bins", None),
        max_length=history.length,
        pooling=history.pooling,
        target=item.name if history.pooling == "attention" else None,
        table=item.table,
        side="user",
    )
    shared = (item if feature.name == item.name else feature for feature in schema.features)
    return FeatureSchema((*shared, sequence))


def latest_items(rows: pl.LazyFrame, interactions: Interactions, history: History) -> pl.DataFrame:
    """Returns the latest items before each (user, `AS_OF`) that some row asks about.

    Args:
        rows: Rows with `KNOWN` and `AS_OF`, all that the users in question have.
        interactions: Whose roles of columns count; its rows don't.
        history: What to list.

    Returns:
        The column of the user, `AS_OF`, and `history.name`; pairs without any item are left out.
    """
    user, time = interactions.column("user"), interactions.column("time")
    rows = rows.filter(pl.col(user).is_not_null())
    positive = rows.filter(pl.col(history.label) == 1, pl.col(history.item).is_not_null())
    events = positive.select(user, KNOWN, time, history.item).collect(engine="streaming")
    asked = rows.select(user, AS_OF).unique().collect(engine="streaming")
    codes = asked.select(pl.col(user).unique(maintain_order=True)).with_row_index(_USER_CODE)
    events = events.join(codes, on=user, maintain_order="left")
    events = events.sort(_USER_CODE, KNOWN, time, maintain_order=True)
    asked = asked.join(codes, on=user, maintain_order="left")
    first, stop = _bounds(events, asked)
    first = np.maximum(first, stop - history.length)
    lengths = stop - first
    # The positions of all lists, one after another.
    positions = np.repeat(stop - np.cumsum(lengths), lengths) + np.arange(lengths.sum())
    lists = pl.DataFrame(
        {"row": np.repeat(np.arange(len(lengths)), lengths), history.name: events[history.item][positions]}
    )
    lists = lists.group_by("row", maintain_order=True).agg(history.name)
    return asked[lists["row"]].select(user, AS_OF).with_columns(lists[history.name])


def _bounds(events: pl.DataFrame, asked: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Returns where, among sorted events, each asking user's begin, and where they are too late."""
    days = 2**32  # more than a Date has
    known = events[_USER_CODE].cast(pl.Int64).to_numpy() * days + _day_numbers(events[KNOWN])
    user = asked[_USER_CODE].cast(pl.Int64).to_numpy() * days
    first = np.searchsorted(known, user, side="left")
    return first, np.searchsorted(known, user + _day_numbers(asked[AS_OF]), side="left")


def _day_numbers(dates: pl.Series) -> np.ndarray:
    return dates.to_physical().cast(pl.Int64).to_numpy() + 2**31


def join_items(
    frame: pl.DataFrame, latest: pl.DataFrame, interactions: Interactions, history: History
) -> pl.DataFrame:
    """Returns rows, which have `AS_OF`, with their lists of what `latest_items` found."""
    on = [interactions.column("user"), AS_OF]
    frame = frame.join(latest, on=on, how="left", maintain_order="left")
    empty = pl.lit([], dtype=latest.schema[history.name])
    return frame.with_columns(pl.col(history.name).fill_null(empty))
