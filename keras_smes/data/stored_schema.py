"""Fits a schema on stored interactions: vocabularies and moments of all rows, a part in memory at a time."""

import dataclasses
import math

import numpy as np
import polars as pl

from keras_smes.data.progress import track
from keras_smes.data.stored import StoredInteractions
from keras_smes.features.categories import Embedded, Vocabulary
from keras_smes.features.schema import Feature, FeatureSchema, Number
from keras_smes.features.tables import tables
from keras_smes.moments import nonzero_std

SAMPLE = 1_000_000  # values of which the quantiles of buckets are taken
_COMPACT_ROWS = 4_000_000


def fit_schema(stored: StoredInteractions, verbose: int = 1) -> FeatureSchema:
    """Returns the schema as `schema.fit` does from all rows in memory.

    Vocabularies are the same, moments up to rounding; the quantiles of a `Number` in buckets are those of an
    even sample of at most a million rows.

    Args:
        stored: The training rows.
        verbose: `0` shows no progress, `1` a bar. Defaults to `1`.
    """
    schema = stored.roles.schema
    open_features = [feature for feature in schema.features if not feature.is_fitted]
    # Features of one table learn together.
    names = {f.name: table for table, members in tables(schema.features).items() for f in members}
    learners = {names.get(f.name, f.name): _learner(f, len(stored)) for f in open_features}
    for part in track(stored.parts, "Fitting the schema", verbose):
        arrays, _ = schema.prepare_columns(stored.read([part]).columns())
        for feature in open_features:
            learners[names.get(feature.name, feature.name)].add(feature.observed(arrays))
    fitted = {f.name: learners[names.get(f.name, f.name)].fit(f) for f in open_features}
    return FeatureSchema(tuple(fitted.get(feature.name, feature) for feature in schema.features))


def _learner(feature: Feature, rows: int) -> "_Counts | _Moments | _Sample":
    if isinstance(feature, Embedded):
        assert isinstance(feature.item, Vocabulary)  # hashed ones have nothing to be fitted
        return _Counts(feature.item.min_count)
    assert isinstance(feature, Number)
    return _Moments(feature.log) if feature.buckets is None else _Sample(math.ceil(rows / SAMPLE))


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
    """Mean and variance, part by part (Chan, Golub and LeVeque, 1983)."""

    def __init__(self, log: bool) -> None:
        self._log = log
        self._moments = (0, 0.0, 0.0)

    def add(self, values: np.ndarray) -> None:
        finite = np.asarray(values, np.float64)
        finite = finite[np.isfinite(finite)]
        self._moments = _merged(self._moments, np.log1p(np.maximum(finite, 0)) if self._log else finite)

    def fit(self, feature: Feature) -> Feature:
        assert isinstance(feature, Number)
        count, mean, squares = self._moments
        std = math.sqrt(squares / count) if count else 1.0
        return dataclasses.replace(feature, mean=mean, std=nonzero_std(mean, std))


def _merged(moments: tuple[int, float, float], values: np.ndarray) -> tuple[int, float, float]:
    """Returns the count, the mean and the sum of squared deviations of values seen before and of new ones."""
    count, mean, squares = moments
    if values.size == 0:
        return moments
    total, shift = count + values.size, float(values.mean()) - mean
    mean_of_all = mean + shift * values.size / total
    own = float(np.square(values - values.mean()).sum())
    return total, mean_of_all, squares + own + shift**2 * count * values.size / total


class _Sample:
    """Every n-th value."""

    def __init__(self, step: int) -> None:
        self._step, self._seen = step, 0
        self._values: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> None:
        self._values.append(values[-self._seen % self._step :: self._step])
        self._seen += len(values)

    def fit(self, feature: Feature) -> Feature:
        return feature.fit(np.concatenate(self._values))
