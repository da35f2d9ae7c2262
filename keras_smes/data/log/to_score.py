"""The rows of a declared log for a model that is trained already: labels may be missing."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from keras_smes.data.interactions import Interactions
from keras_smes.data.log.declaration import Log
from keras_smes.data.log.labels import unknown_columns, with_labels_if_known
from keras_smes.data.log.load import (
    check_memory,
    check_there,
    in_order,
    interactions_of,
    read_rows,
    with_split,
    with_time,
)
from keras_smes.data.log.store import Storing, stored
from keras_smes.data.store.interactions import StoredInteractions
from keras_smes.data.store.part import PART_ROWS
from keras_smes.features.schema import FeatureSchema


def load_to_score(log: Log, schema: FeatureSchema) -> Interactions:
    """Reads the rows of a declared log into memory for a model that is trained already.

    Args:
        log: The `Log`; its `features` are left out of account.
        schema: The model's features.

    Returns:
        As `load_log`, with all columns of the files, and as features those of `schema` that are columns.
        Labels, conditions and outcomes that are missing or empty are unknown in all rows.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: As for `load_log`.
    """
    frame, counts = read_rows(log)
    frame = in_order(with_time(with_labels_if_known(frame, log, unknown_columns(frame.lazy(), log)), log))
    check_there(frame, "user", [log.user] if log.user else [])
    frame, dates = with_split(frame, log)
    check_memory(frame, log)
    return interactions_of(_unmeasured(log), frame, _present(schema, frame), counts, dates)


def store_to_score(
    log: Log, schema: FeatureSchema, cache: str | Path | None = None, part_rows: int = PART_ROWS
) -> StoredInteractions:
    """Reads rows as `load_to_score` does, into files instead of memory.

    Arguments, results and errors are those of `load_to_score`, with `cache` and `part_rows` of `store_log`.
    """
    return stored(_ToScore(_unmeasured(log), model=schema), cache, part_rows)


@dataclasses.dataclass(frozen=True)
class _ToScore(Storing):
    """The steps of `Storing` for rows whose labels may be missing."""

    prefix: ClassVar[str] = "to-score"
    model: FeatureSchema | None = None
    unknown: set[str] = dataclasses.field(default_factory=set)

    def schema_of(self, empty: pl.DataFrame, chosen: Any) -> FeatureSchema:
        assert self.model is not None
        return _present(self.model, empty)

    def check_labels(self, rows: pl.LazyFrame) -> None:
        self.unknown.update(unknown_columns(rows, self.log))

    def labelled(self, rows: pl.DataFrame) -> pl.DataFrame:
        check_there(rows, "user", [self.log.user] if self.log.user else [])
        return with_labels_if_known(rows, self.log, self.unknown)


def _unmeasured(log: Log) -> Log:
    """Returns a log without the roles of columns that only training and metrics need."""
    return dataclasses.replace(log, weight=None, request=None, skip_training=None, ignore=(), features=())


def _present(schema: FeatureSchema, frame: pl.DataFrame) -> FeatureSchema:
    """Returns the features of a model that are columns of rows."""
    there = tuple(feature for feature in schema.features if feature.name in frame.columns)
    if not there:
        raise ValueError(
            f"The rows must have features of the model, {schema.names}. Received: columns={frame.columns}"
        )
    return FeatureSchema(there)
