"""A ranker with feature tables in its graph: requests hold keys instead of statistics and histories.

The tables are hash tables and matrices of the SavedModel. An update of the tables is a new version.
"""

import dataclasses
import itertools
import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_smes.backend.graph import call_graph
from keras_smes.export.graph.inputs import is_built_ranker
from keras_smes.features.categories import RESERVED_STRING, IntegerCategory, StringCategory
from keras_smes.features.feature import Feature
from keras_smes.features.layers.lookup import StringLookup, lookup_layer
from keras_smes.features.raw.conversion import MISSING_STRING
from keras_smes.features.schema import FeatureSchema
from keras_smes.features.sequences import MultiValued
from keras_smes.types import Tensor

if TYPE_CHECKING:
    from keras_smes.data import FeatureTable, FeatureTables

Arrays = Mapping[str, np.ndarray]
CATEGORIES = {"int64": IntegerCategory, "string": StringCategory}


@dataclasses.dataclass(frozen=True)
class WithTables:
    """A ranker that looks features up in tables by the keys of a request.

    Args:
        ranker: The model.
        schema: Its features: without those of the tables, with the keys.
        keys: The key columns of each table, arrays of one row per key.
        description: For the model card: origin of the tables, and the keys of each feature.
    """

    ranker: keras.Model
    schema: FeatureSchema
    keys: Sequence[Arrays]
    description: Mapping[str, Any]


def with_tables(ranker: keras.Model, schema: FeatureSchema | None, tables: "FeatureTables") -> WithTables:
    """Puts feature tables before a ranker.

    Raises:
        ValueError: There is no schema, the ranker lacks a feature of the tables, or a key is neither integer
            nor string.
    """
    if schema is None or not is_built_ranker(ranker):
        raise ValueError(
            f"`tables` need a ranker of `build_ranker` and its schema. Received: schema={schema}"
        )
    given = [name for table in tables.tables for name in table.default]
    if missing := sorted(set(given) - set(schema.names)):
        raise ValueError(f"`tables` must hold features of the ranker. Received: {missing} too")
    features = {feature.name: feature for feature in schema.features if feature.name not in given}
    for table in tables.tables:
        side = schema[next(iter(table.default))].side
        for column in table.columns:
            kept = features.get(column)
            if kept is None or (column not in schema.names and side == "user"):
                features[column] = _key_feature(column, table, side)
    served = FeatureSchema(tuple(features.values()))
    keys = [_keys_of(table, served) for table in tables.tables]
    model = _replace_preprocessor(ranker, served, _Completion(schema, tables, keys))
    return WithTables(model, served, keys, _describe(tables))


def _key_feature(column: str, table: "FeatureTable", side: str) -> Feature:
    """A key that isn't an input of the ranker itself."""
    dtype = table.rows.schema[column]
    kind = StringCategory if str(dtype) in ("String", "Categorical", "Enum") else IntegerCategory
    if kind is IntegerCategory and not dtype.is_integer():
        raise _unfit(column, table, str(dtype))
    return kind(column, side=side)


def _keys_of(table: "FeatureTable", schema: FeatureSchema) -> Arrays:
    """The key columns in the types of requests."""
    from keras_smes.data.column_types import to_numpy

    for column in table.columns:
        feature = schema[column]
        if feature.dtype not in CATEGORIES or isinstance(feature, MultiValued):
            raise _unfit(column, table, feature.kind)
    _check_distinct(table, schema)
    return {column: to_numpy(table.rows[column], schema[column].dtype) for column in table.columns}


def _check_distinct(table: "FeatureTable", schema: FeatureSchema) -> None:
    """Rejects a null key beside the value that stands for null in requests."""
    missing = {name: MISSING_STRING if schema[name].dtype == "string" else -1 for name in table.columns}
    keys = table.rows.select(table.columns)
    filled = keys.with_columns(keys[name].fill_null(value) for name, value in missing.items())
    if (doubled := filled.is_duplicated()).any():
        raise ValueError(
            f"Table {table.name!r} must have keys that a request can tell apart; null becomes -1 or the "
            f"empty string. Received: {keys.filter(doubled).head(2).rows()} of {list(table.columns)}"
        )


def _unfit(column: str, table: "FeatureTable", received: str) -> ValueError:
    return ValueError(
        f"Table {table.name!r} must have keys of integers or strings for lookups in a graph. "
        f"Received: {column!r} of type {received}"
    )


def _replace_preprocessor(ranker: keras.Model, served: FeatureSchema, complete: "_Completion") -> keras.Model:
    preprocessor = ranker.get_layer("preprocessor")
    inner = _inputs(served)
    completed = keras.Model(inner, preprocessor(complete(inner)), name="preprocessor")
    outer = _inputs(served)
    # Placeholders; the node that consumes them is replaced.
    places = {name: keras.Input(batch_shape=t.shape, dtype=t.dtype) for name, t in ranker.input.items()}

    def operation(layer: Any) -> Any:
        return (lambda *args, **kwargs: completed(outer)) if layer is preprocessor else layer

    return keras.Model(outer, call_graph(ranker, {**places}, operation), name=ranker.name)


def _inputs(schema: FeatureSchema) -> dict[str, Tensor]:
    return {
        name: keras.Input(shape, dtype=dtype, name=name)
        for name, (shape, dtype) in schema.input_specs.items()
    }


@dataclasses.dataclass(frozen=True)
class _Completion:
    """Completes the columns of a request to those of the ranker, by lookups in the tables."""

    schema: FeatureSchema
    tables: "FeatureTables"
    keys: Sequence[Arrays]

    def __call__(self, columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
        columns, found = dict(columns), dict[str, Tensor]()
        for table, keys in zip(self.tables.tables, self.keys, strict=True):
            requested = [columns[column] for column in table.columns]
            if table.is_history:
                columns |= self._history(table, keys, requested)
                continue
            lookup = StatisticsLookup(keys, _matrix(table), name=f"{table.name}_table")
            parent = None if table.towards is None else found[table.towards]
            found[table.name] = lookup(requested, parent)
            columns |= {name: found[table.name][:, place] for place, name in enumerate(table.default)}
        return {name: columns[name] for name in self.schema.input_specs}

    def _history(self, table: "FeatureTable", keys: Arrays, requested: Sequence[Tensor]) -> dict[str, Tensor]:
        from keras_smes.data.column_types import to_inputs

        feature = self.schema[table.name]
        assert isinstance(feature, MultiValued)
        items, lengths = to_inputs(feature, table.rows[table.name]).values()
        found, length = HistoryLookup(keys, items, lengths, name=f"{table.name}_table")(requested)
        return {feature.name: found, feature.length_name: length}


def _matrix(table: "FeatureTable") -> np.ndarray:
    """The features, float32 `[1 + keys, features]`; row 0 is for unknown keys."""
    known = table.rows.select(list(table.default)).to_numpy()
    return np.concatenate([[list(table.default.values())], known]).astype(np.float32)


class _TableLookup(keras.layers.Layer):
    """Finds the row of keys in a table, from 1; 0 for an unknown key. Used in exports only."""

    def __init__(self, keys: Arrays, **kwargs: Any) -> None:
        super().__init__(dtype="float32", trainable=False, **kwargs)
        distinct = {name: np.unique(values) if len(keys) > 1 else values for name, values in keys.items()}
        self.by_column = [_lookup(name, values) for name, values in distinct.items()]
        # Mixed radix: one code per combination of the columns' rows.
        units = itertools.accumulate(
            (len(values) + 1 for values in distinct.values()), operator.mul, initial=1
        )
        *self.units, combinations = units
        if combinations > 2**63:
            raise ValueError(
                f"Keys of {list(keys)} must have at most 2**63 combinations. Received: {combinations}"
            )
        self.by_all = None
        if len(keys) > 1:
            codes = sum(
                (1 + np.searchsorted(distinct[name], values)) * unit
                for (name, values), unit in zip(keys.items(), self.units, strict=True)
            )
            self.by_all = _lookup("codes", np.asarray(codes, np.int64))

    def places(self, keys: Sequence[Tensor]) -> Tensor:
        own = [lookup(values) for lookup, values in zip(self.by_column, keys, strict=True)]
        code = sum(place * unit for place, unit in zip(own, self.units, strict=True))
        return code if self.by_all is None else self.by_all(code)

    def constant(self, name: str, values: np.ndarray) -> Tensor:
        """Stores an array as a variable, since a graph is limited to 2 GB."""
        weight = self.add_weight(
            shape=values.shape,
            dtype=values.dtype.name,
            initializer="zeros",
            trainable=False,
            autocast=False,
            name=name,
        )
        weight.assign(values)
        return weight


def _lookup(column: str, values: np.ndarray) -> keras.layers.Layer:
    kind = StringCategory if values.dtype == object else IntegerCategory
    return lookup_layer(kind(column, vocabulary=tuple(values.tolist())), name=column)


class StatisticsLookup(_TableLookup):
    """The statistics of keys, float32 `[B, features]`."""

    def __init__(self, keys: Arrays, values: np.ndarray, **kwargs: Any) -> None:
        super().__init__(keys, **kwargs)
        self.values = self.constant("values", values)

    def call(self, keys: Sequence[Tensor], parent: Tensor | None = None) -> Tensor:
        place_b = self.places(keys)
        found_bf = ops.take(self.values, place_b, axis=0)
        if parent is None:
            return found_bf
        others_bf = ops.concatenate([found_bf[:, :1], parent[:, 1:]], axis=1)
        return ops.where(ops.expand_dims(place_b > 0, 1), found_bf, others_bf)

    def compute_output_spec(self, keys: Any, parent: Any = None) -> Any:
        return keras.KerasTensor((keys[0].shape[0], self.values.shape[1]), "float32")


class HistoryLookup(_TableLookup):
    """The histories of keys: items `[B, L]` and lengths int32 `[B]`, empty for an unknown key."""

    def __init__(self, keys: Arrays, items: np.ndarray, lengths: np.ndarray, **kwargs: Any) -> None:
        super().__init__(keys, **kwargs)
        self.words = None
        if items.dtype == object:  # variables hold numbers only
            words = np.unique(np.append(items.ravel(), MISSING_STRING))  # a lookup has at least one word
            items = 1 + np.searchsorted(words, items).reshape(items.shape)
            self.words = StringLookup(
                vocabulary=list(words), oov_token=RESERVED_STRING, invert=True, name="words"
            )
        self.items = self.constant("items", np.pad(items, [(1, 0), (0, 0)]))
        self.lengths = self.constant("lengths", np.pad(lengths, (1, 0)))

    def call(self, keys: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        place_b = self.places(keys)
        items_bl = ops.take(self.items, place_b, axis=0)
        found = items_bl if self.words is None else self.words(items_bl)
        return found, ops.take(self.lengths, place_b, axis=0)

    def compute_output_spec(self, keys: Any) -> Any:
        rows = keys[0].shape[0]
        dtype = "int64" if self.words is None else "string"
        return (
            keras.KerasTensor((rows, self.items.shape[1]), dtype),
            keras.KerasTensor((rows,), "int32"),
        )


def _describe(tables: "FeatureTables") -> dict[str, Any]:
    looked_up = {
        name: {
            "by": list(table.columns),
            "keys": table.rows.height,
            "unknown_key": f"{table.fallbacks()[name]}, looked up" if name in table.fallbacks() else value,
        }
        for table in tables.tables
        for name, value in table.default.items()
    }
    return {"as_of": tables.as_of.isoformat(), **tables.facts, "features": looked_up}
