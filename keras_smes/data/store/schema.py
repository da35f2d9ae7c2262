"""Fits a schema on stored interactions: vocabularies and moments of all rows, a part in memory at a time."""

import numpy as np
import polars as pl

from keras_smes.console import track
from keras_smes.data.interactions import Interactions
from keras_smes.data.rows import Rows
from keras_smes.data.store.interactions import StoredInteractions
from keras_smes.features.categories import Embedded, Vocabulary
from keras_smes.features.embedding_tables import tables
from keras_smes.features.schema import Feature, FeatureSchema, Number
from keras_smes.moments import RunningMoments

_COMPACT_ROWS = 4_000_000


def fit_schema(rows: Rows, verbose: int = 1) -> FeatureSchema:
    """Returns the schema as `schema.fit` does from all rows in memory.

    Vocabularies, moments and quantiles are the same to the bit. What is in memory is a part, the distinct
    values of vocabularies, and the values of each `Number` in buckets.

    Args:
        rows: The training rows, in memory or on disk.
        verbose: `0` shows no progress, `1` a bar. Defaults to `1`.

    Returns:
        A fitted `FeatureSchema`.
    """
    schema = rows.schema
    if isinstance(rows, Interactions):
        return schema.fit(rows.columns())
    open_features = [feature for feature in schema.features if not feature.is_fitted]
    # Features of one table learn together.
    names = {f.name: table for table, members in tables(schema.features).items() for f in members}
    learners = {names.get(f.name, f.name): _learner(f) for f in open_features}
    parts = len(rows.parts) if isinstance(rows, StoredInteractions) else 1
    for _, piece in track(rows.pieces(), "Fitting the schema", verbose, parts):
        arrays, _ = schema.prepare_columns(piece.columns())
        for feature in open_features:
            learners[names.get(feature.name, feature.name)].add(feature.observed(arrays))
    fitted = {f.name: learners[names.get(f.name, f.name)].fit(f) for f in open_features}
    return FeatureSchema(tuple(fitted.get(feature.name, feature) for feature in schema.features))


def _learner(feature: Feature) -> "_Counts | _Moments | _Values":
    if isinstance(feature, Embedded):
        assert isinstance(feature.item, Vocabulary)  # hashed ones have nothing to be fitted
        return _Counts(feature.item.min_count)
    assert isinstance(feature, Number)
    return _Moments(feature.moments()) if feature.buckets is None else _Values()


class _Counts:
    """How often each value occurs, up to the count that matters."""

    def __init__(self, min_count: int) -> None:
        self._min_count = min_count
        self._counts: list[pl.DataFrame] = []

    def add(self, values: np.ndarray) -> None:
        self._counts.append(pl.DataFrame({"value": values}).group_by("value").len())
        if sum(frame.height for frame in self._counts) > _COMPACT_ROWS:
            self._counts = [self._total()]

    def _total(self) -> pl.DataFrame:
        return pl.concat(self._counts).group_by("value").agg(pl.col("len").sum())

    def fit(self, feature: Feature) -> Feature:
        total = self._total()
        repeats = np.minimum(total["len"].to_numpy(), self._min_count)
        return feature.fit(np.repeat(total["value"].to_numpy(), repeats))


class _Moments:
    """Mean and variance."""

    def __init__(self, moments: RunningMoments) -> None:
        self._moments = moments

    def add(self, values: np.ndarray) -> None:
        self._moments.add(values[np.isfinite(values)])

    def fit(self, feature: Feature) -> Feature:
        assert isinstance(feature, Number)
        return feature.with_moments(self._moments)


class _Values:
    """All values, of which quantiles are taken: 4 bytes a row."""

    def __init__(self) -> None:
        self._values: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> None:
        self._values.append(values)

    def fit(self, feature: Feature) -> Feature:
        return feature.fit(np.concatenate(self._values))
