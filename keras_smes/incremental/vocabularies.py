"""Grows vocabularies: new ids are appended, and every known id keeps its row."""

import dataclasses
from typing import Any

import numpy as np

from keras_smes.features.config import feature_to_config
from keras_smes.features.embedding_tables import tables
from keras_smes.features.schema import Feature, FeatureSchema
from keras_smes.incremental.grow_arrays import FRESH, Sources

# Fields fitted to rows, in contrast to declared ones.
FITTED = ("vocabulary", "mean", "std", "buckets")


def grow_schema(old: FeatureSchema, new: FeatureSchema) -> FeatureSchema:
    """Returns a fitted schema with the ids of another one appended.

    Moments and boundaries don't change, since weights were learned with that scaling.

    Raises:
        ValueError: The features are not the same.

    Example:

    >>> old, new = (FeatureSchema((IntegerCategory("id", vocabulary=v),)) for v in [(7, 9), (5, 9)])
    >>> grow_schema(old, new)["id"].vocabulary
    (7, 9, 5)
    """
    declared = [{f.name: _declared(f) for f in schema.features} for schema in (old, new)]
    if declared[0] != declared[1]:
        names = declared[0].keys() | declared[1].keys()
        differing = sorted(name for name in names if declared[0].get(name) != declared[1].get(name))
        raise ValueError(f"The features must be those of the run. Received: differing={differing}")
    return FeatureSchema(tuple(_grown(feature, new[feature.name]) for feature in old.features))


def _declared(feature: Feature) -> dict[str, Any]:
    return {key: value for key, value in feature_to_config(feature).items() if key not in FITTED}


def _grown(old: Any, new: Any) -> Any:
    known, found = (getattr(feature, "vocabulary", None) for feature in (old, new))
    if known is None:
        return old
    seen = set(known)
    added = tuple(value for value in found or () if value not in seen)
    return dataclasses.replace(old, vocabulary=(*known, *added)) if added else old


def table_sources(old: FeatureSchema, new: FeatureSchema) -> dict[str, Sources]:
    """Returns the sources of the rows of each embedding table, by the name of its weight.

    Row 0, of unknown values, stays; other rows are matched by value.
    """
    return {
        f"embed_{table}/0": {0: row_sources(*pair)}
        for table, pair in _by_table(old, new).items()
        if getattr(pair[0], "vocabulary", None) is not None
    }


def row_sources(old: Any, new: Any) -> np.ndarray:
    """Returns the old row of each row of a feature's table, -1 for a new value."""
    rows = {value: row for row, value in enumerate(old.vocabulary, start=1)}
    return np.array([0, *(rows.get(value, FRESH) for value in new.vocabulary)], np.int64)


def count_new(old: FeatureSchema, new: FeatureSchema) -> dict[str, int]:
    """Returns the number of new rows of each embedding table that has any."""
    counts = {table: now.num_ids - before.num_ids for table, (before, now) in _by_table(old, new).items()}
    return {table: count for table, count in counts.items() if count}


def _by_table(old: FeatureSchema, new: FeatureSchema) -> dict[str, tuple[Any, Any]]:
    """A feature of each embedding table, before and after."""
    return {table: (group[0], new[group[0].name]) for table, group in tables(old.features).items()}
