"""The rows of a declared log for a model that is trained already: labels may be missing."""

import dataclasses
from pathlib import Path

import polars as pl

from keras_smes.data.interactions import Interactions
from keras_smes.data.log.declaration import Log
from keras_smes.data.log.labels import labelling_if_known
from keras_smes.data.log.load import loaded
from keras_smes.data.log.steps import Steps
from keras_smes.data.log.store import stored
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
    return loaded(_unmeasured(log), _scoring(schema))


def store_to_score(
    log: Log, schema: FeatureSchema, cache: str | Path | None = None, part_rows: int = PART_ROWS
) -> StoredInteractions:
    """Reads rows as `load_to_score` does, into files instead of memory.

    Arguments, results and errors are those of `load_to_score`, with `cache` and `part_rows` of `store_log`.
    """
    return stored(_unmeasured(log), _scoring(schema), cache, part_rows, 0)


def _unmeasured(log: Log) -> Log:
    """Returns a log without the roles of columns that only training and metrics need."""
    return dataclasses.replace(log, weight=None, request=None, skip_training=None, ignore=(), features=())


def _scoring(model: FeatureSchema) -> Steps:
    """Returns the steps for rows to score: their features are those of a model that are columns."""

    def features(rows: pl.LazyFrame, *_: object) -> FeatureSchema:
        columns = rows.collect_schema().names()
        there = tuple(feature for feature in model.features if feature.name in columns)
        if not there:
            raise ValueError(
                f"The rows must have features of the model, {model.names}. Received: columns={columns}"
            )
        return FeatureSchema(there)

    return Steps("to-score", labelling_if_known, features)
