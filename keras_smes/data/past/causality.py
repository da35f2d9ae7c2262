"""A check of causality: features of a row are the same whatever happens later."""

import dataclasses
import datetime
from collections.abc import Callable

import numpy as np
import polars as pl

from keras_smes.data.interactions import Interactions
from keras_smes.data.past.days import AS_OF, KNOWN, known_and_as_of
from keras_smes.validation import check_count

Build = Callable[[Interactions], Interactions]


def check_causal(build: Build, interactions: Interactions, most_days: int = 8) -> None:
    """Stops if what `build` adds to a row changes with the row's own day or with what comes later.

    For some days d, features are built twice more: of the rows up to d alone, and with all labels changed
    that are not known before d. In the rows up to d no feature may then differ from those first built.

    Args:
        build: From interactions to the same rows with more features, such as `with_statistics`.
        interactions: Rows to try it on.
        most_days: At how many days to cut at most, spread evenly. Defaults to `8`.

    Raises:
        ValueError: If a feature changes; names it, the day and what was changed.

    Example:

    >>> check_causal(with_statistics, data)
    """
    check_count("most_days", most_days)
    days = interactions.frame.select(*known_and_as_of(interactions))
    everything = _build(build, interactions)
    for day in _spread(days[AS_OF], most_days):
        early = days[AS_OF] <= day
        expected = everything.filter(early)
        until = dataclasses.replace(interactions, frame=interactions.frame.filter(early))
        _compare(expected, _build(build, until), f"without the rows after {day}")
        changed = _with_other_labels(interactions, days[KNOWN] >= day)
        _compare(expected, _build(build, changed).filter(early), f"with other labels from {day} on")


def _build(build: Build, interactions: Interactions) -> pl.DataFrame:
    """Returns the features, labels that were let in aside: those do change."""
    built = build(interactions)
    if len(built) != len(interactions):
        raise ValueError(f"`build` must keep the rows. Received: {len(built)} of {len(interactions)}")
    return built.frame.select(name for name in built.schema.names if name not in built.label_columns)


def _spread(days: pl.Series, most: int) -> list[datetime.date]:
    present = days.unique().sort()
    chosen = np.unique(np.linspace(0, len(present) - 1, min(most, len(present))).astype(np.int64))
    return present[chosen].to_list()


def _with_other_labels(interactions: Interactions, rows: pl.Series) -> Interactions:
    labels = {*interactions.label_columns, *(history.label for history in interactions.histories)}
    other = [
        pl.when(rows).then((1 - pl.col(name)).cast(interactions.frame.schema[name])).otherwise(pl.col(name))
        for name in labels
    ]
    names = zip(other, labels, strict=True)
    frame = interactions.frame.with_columns(values.alias(name) for values, name in names)
    return dataclasses.replace(interactions, frame=frame)


def _compare(expected: pl.DataFrame, received: pl.DataFrame, what: str) -> None:
    changed = [name for name in expected.columns if not expected[name].equals(received[name])]
    if changed:
        raise ValueError(
            f"`build` must add nothing that tells of a row's own day or of later ones. "
            f"Received: {changed} differ {what}"
        )
