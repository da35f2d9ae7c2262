"""Raw columns to typed arrays: invalid values raise, missing and unknown values are counted."""

from collections.abc import Iterable, Mapping

import numpy as np

from keras_smes.features.feature import Columns, Counts, Feature
from keras_smes.features.raw.frames import as_columns


def prepare_columns(
    features: Iterable[Feature], columns: Columns
) -> tuple[dict[str, np.ndarray], dict[str, Counts]]:
    """Returns the raw inputs of all features as typed arrays, and each feature's counts.

    See `FeatureSchema.prepare_columns`.
    """
    features, columns = list(features), as_columns(columns)
    _check_names(features, columns)
    prepared: dict[str, np.ndarray] = {}
    counts: dict[str, Counts] = {}
    for feature in features:
        arrays, counts[feature.name] = feature.prepare(columns)
        prepared |= arrays
    _check_rows(counts)
    return prepared, counts


def _check_names(features: list[Feature], columns: Columns) -> None:
    missing = sorted({feature.name for feature in features} - set(columns))
    if missing:
        raise ValueError(f"`columns` lacks features of the schema. Received: missing={missing}")
    known = {name for feature in features for name in feature.input_specs}
    unknown = sorted(map(str, set(columns) - known))
    if unknown:
        raise ValueError(f"`columns` must hold features of the schema only. Received: unknown={unknown}")


def _check_rows(counts: Mapping[str, Counts]) -> None:
    rows = {name: count["rows"] for name, count in counts.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(f"`columns` must have equal numbers of rows. Received: rows={rows}")
