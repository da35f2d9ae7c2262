"""Vocabularies that grow: the ids of new rows join those known, and every known id keeps its row."""

import dataclasses
from typing import Any

import numpy as np

from keras_smes.features.config import feature_to_config
from keras_smes.features.embedding_tables import tables
from keras_smes.features.schema import Feature, FeatureSchema
from keras_smes.incremental.grow_arrays import FRESH, Sources

# What rows decide, and not whoever declares the feature.
FITTED = ("vocabulary", "mean", "std", "buckets")


def grow_schema(old: FeatureSchema, new: FeatureSchema) -> FeatureSchema:
    """Returns a fitted schema with the ids of another one added behind its own.

    All else stays as it was fitted first: moments and boundaries too, since weights were learned for numbers
    so scaled.

    Args:
        old: The schema of the model so far.
        new: The same features, fitted on newer rows.

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
    """Returns where the rows of each embedding table come from, by the name of its weight.

    Row 0, that of all unknown values, stays; the others go by value, whatever the order of the vocabularies.
    """
    members = {table: (group[0], new[group[0].name]) for table, group in tables(old.features).items()}
    return {
        f"embed_{table}/0": {0: row_sources(*pair)}
        for table, pair in members.items()
        if getattr(pair[0], "vocabulary", None) is not None
    }


def row_sources(old: Any, new: Any) -> np.ndarray:
    """Returns the row that each row of a feature's table had before, -1 for that of a new value."""
    rows = {value: row for row, value in enumerate(old.vocabulary, start=1)}
    return np.array([0, *(rows.get(value, FRESH) for value in new.vocabulary)], np.int64)


def count_new(old: FeatureSchema, new: FeatureSchema) -> dict[str, int]:
    """Returns how many rows each embedding table has more, of those that have any."""
    pairs: dict[str, tuple[Any, Any]] = {
        table: (group[0], new[group[0].name]) for table, group in tables(old.features).items()
    }
    counts = {table: now.num_ids - before.num_ids for table, (before, now) in pairs.items()}
    return {table: count for table, count in counts.items() if count}
