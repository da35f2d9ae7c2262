"""Chooses a kind of feature for each column without a role, by what the training rows hold."""

import math
from collections.abc import Collection, Iterable
from typing import Any, cast

import numpy as np
import polars as pl

from keras_smes.features.categories import IntegerCategory, StringCategory
from keras_smes.features.feature import Feature
from keras_smes.features.numbers import Number
from keras_smes.features.sequences import Tags
from keras_smes.validation import NAME_PATTERN

FEW = 100  # distinct integers up to here are codes, more are a quantity
RARE = 1000  # from so many distinct values on, those of a few rows share a row of the table
MIN_COUNT = 5
LONGEST = 50
BUCKETS = 256


def choose_features(columns: Iterable[pl.Series], keys: Collection[str] = ()) -> list[Feature]:
    """Returns a feature for each column that can be one.

    Text, booleans, integers of up to 100 values and ids (keys, and columns named `id` or `..._id`) become
    categories, other numbers `Number`, in buckets where a few are far above the mean, lists `Tags`. Columns
    that are constant or empty in the training rows, dates and timestamps become none.

    Args:
        columns: Columns without a role, of the training rows; one after another is in memory.
        keys: Names of columns that identify things. Defaults to none.
    """
    features = {values.name: _feature(_with_valid_name(values), values.name in keys) for values in columns}
    chosen = {name: feature for name, feature in features.items() if feature is not None}
    if odd := [name for name, feature in chosen.items() if name != feature.name]:
        raise ValueError(
            "`features: auto` needs names of letters, digits and _, as served tensors have: rename columns, "
            f"or list them in `ignore`. Received: {odd}"
        )
    return list(chosen.values())


def _with_valid_name(values: pl.Series) -> pl.Series:
    return values if NAME_PATTERN.fullmatch(values.name) else values.alias("invalid")


def _feature(values: pl.Series, is_key: bool) -> Feature | None:
    known = values.drop_nulls()
    if known.is_empty() or (not values.null_count() and _distinct(known) == 1):
        return None
    if isinstance(values.dtype, (pl.List, pl.Array)):
        return _tags(values)
    if values.dtype in (pl.String, pl.Categorical, pl.Enum):
        return StringCategory(values.name, **_of_table(known))
    if values.dtype == pl.Boolean:
        return IntegerCategory(values.name, **_of_table(known))
    is_code = is_key or _is_id(values.name) or _distinct(known) <= FEW
    if values.dtype.is_integer() and is_code:
        return IntegerCategory(values.name, **_of_table(known))
    return _number(values.name, known) if values.dtype.is_numeric() else None


def _number(name: str, known: pl.Series) -> Number:
    """Amounts and counts in buckets: what they say changes at zero, at usual values and at limits."""
    return Number(name, buckets=BUCKETS, dim=_width(BUCKETS)) if _is_skewed(known) else Number(name)


def _distinct(values: pl.Series) -> int:
    return values.n_unique()


def _tags(values: pl.Series) -> Tags | None:
    lists = values.arr.to_list() if isinstance(values.dtype, pl.Array) else values
    items = lists.explode().drop_nulls()
    if items.is_empty() or not (items.dtype.is_integer() or items.dtype == pl.String):
        return None
    kind = "string" if items.dtype == pl.String else "integer"
    longest = cast(int, lists.list.len().max())
    table = _of_table(items)
    return Tags(values.name, table["dim"], items=kind, max_length=min(LONGEST, longest),
                min_count=table["min_count"])  # fmt: skip


def _of_table(known: pl.Series) -> dict[str, Any]:
    """Rows and width of the embedding table: wider for more values, to the fourth root."""
    distinct = _distinct(known)
    return {"dim": _width(distinct), "min_count": MIN_COUNT if distinct >= RARE else 1}


def _width(rows: int) -> int:
    return min(16, 2 * math.ceil(rows**0.25))


def _is_id(name: str) -> bool:
    return name.lower() == "id" or name.lower().endswith("_id")


def _is_skewed(known: pl.Series) -> bool:
    """Whether numbers are at least 0 and some far above the mean, as counts and amounts are."""
    numbers = known.cast(pl.Float64).to_numpy()
    finite = numbers[np.isfinite(numbers)]
    return bool(finite.size and finite.min() >= 0 and finite.max() > 10 * finite.mean())
