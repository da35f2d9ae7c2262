"""Behaviour sequences: a user's latest positive items before the day of a row.

Which rows are before a day says `keras_smes.data.past.days`, as for the statistics.
"""

import dataclasses
import datetime
from typing import Any

import polars as pl
from ibis.expr.types import Table

from keras_smes.data.interactions import Interactions
from keras_smes.data.past.days import AS_OF, KNOWN, known_and_as_of
from keras_smes.data.past.engine import compute
from keras_smes.data.past.expressions import PLACE, latest_before
from keras_smes.data.roles import History
from keras_smes.features.categories import Category
from keras_smes.features.schema import FeatureSchema, Sequence


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
        latest = latest_items(frame, interactions, history)
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


def latest_items(rows: pl.DataFrame, interactions: Interactions, history: History) -> pl.DataFrame:
    """Returns the latest items before each (user, `AS_OF`) of the rows.

    Args:
        rows: Rows with `KNOWN` and `AS_OF`, all that the users in question have, in order of time.
        interactions: Whose roles of columns count; its rows don't.
        history: What to list.

    Returns:
        The column of the user, `AS_OF`, and `history.name`; pairs without any item are left out.
    """
    user = interactions.column("user")
    needed = rows.select(*dict.fromkeys([user, history.item, history.label, KNOWN, AS_OF]))
    found = compute(needed.with_row_index(PLACE), Listing(user, history), interactions.memory)
    return found.cast({history.name: pl.List(rows.schema[history.item])})


@dataclasses.dataclass(frozen=True)
class Listing:
    """From rows to the latest items before each (user, `AS_OF`), on any engine: see `latest_items`."""

    user: str
    history: History

    def __call__(self, rows: Table) -> Table:
        own = self.history
        return latest_before(rows, self.user, own.item, own.label, own.length, own.name)


def join_items(
    frame: pl.DataFrame, latest: pl.DataFrame, interactions: Interactions, history: History
) -> pl.DataFrame:
    """Returns rows, which have `AS_OF`, with their lists of what `latest_items` found."""
    on = [interactions.column("user"), AS_OF]
    frame = frame.join(latest, on=on, how="left", maintain_order="left")
    empty = pl.lit([], dtype=latest.schema[history.name])
    return frame.with_columns(pl.col(history.name).fill_null(empty))
