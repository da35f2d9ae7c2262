"""Reads rows for scoring, without labels and with statistics as of their day."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from keras_smes.data import Interactions, Log, load
from keras_smes.data.files.reader import list_files
from keras_smes.data.loading import is_log, load_rows_to_score
from keras_smes.data.past.earlier_rows import has_outcomes, under_past
from keras_smes.data.rows import Rows, RowsT
from keras_smes.data.split_config import cut_plain, with_past
from keras_smes.data.store.cache import fingerprints
from keras_smes.features.schema import FeatureSchema
from keras_smes.training.config import RunConfig
from keras_smes.training.loop.resume import fingerprint
from keras_smes.training.run_folder import load_config, load_schema

PLACE = "row"  # key column of rows without other keys
_KEY = "__key_"  # prefix of key columns beside the columns of the past


@dataclasses.dataclass(frozen=True)
class ScoreSource:
    """Rows to score, and the key columns that identify them.

    Args:
        data: The YAML of a log, or the name of a data set. Defaults to `None`, the run's own.
        data_dir: Folder of the files of a built-in data set. Defaults to `None`.
        keys: Columns that are written beside the scores. Defaults to `None`: the user, the request, the time
            and the `unique` columns of the log, or else `row`, the row number.
        first: First date. Defaults to `None`, all.
        last: Last date. Defaults to `None`, all.
    """

    data: str | None = None
    data_dir: str | Path | None = None
    keys: Sequence[str] | None = None
    first: datetime.date | None = None
    last: datetime.date | None = None


class RowsToScore(NamedTuple):
    """Rows, ready for a run's ranker.

    Attributes:
        rows: The rows, with the run's features, in memory or on disk.
        keys: The key columns, each with its name among the rows; empty for row numbers.
        sources: Fingerprint of each file by name, or of the rows of a data set without files.
    """

    rows: Rows
    keys: Mapping[str, str]
    sources: dict[str, Any]

    def keys_of(self, rows: Interactions, first: int) -> pl.DataFrame:
        """Returns the keys of consecutive rows, of which the first has number `first`."""
        if not self.keys:
            return pl.DataFrame({PLACE: pl.int_range(first, first + len(rows), eager=True)})
        return rows.frame.select(pl.col(column).alias(name) for name, column in self.keys.items())


def read_rows_to_score(run: str | Path, source: ScoreSource) -> RowsToScore:
    """Reads the rows of a source, with the statistics and histories that the run's features need.

    A row with labels sees what was known before its day: the run's own data before the first of the rows'
    days, and earlier labelled rows. Rows without labels, such as candidates, see what was known on their
    first day. Test rows of the run's own data, and rows from `source.first` on, see the same as in
    `evaluate_run`.

    Rows above the `memory` of their log, or of the run's configuration, stay on disk, and so does the run's
    own data.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A column is missing or has another type, or no row has such a date; names it.
    """
    config, schema = load_config(run), load_schema(run)
    own, sources = _read(config, source, schema)
    chosen = RowsToScore(own, {name: name for name in _keys(own, source, config)}, sources)
    if set(schema.names) <= set(_columns(own)):
        pass
    elif _is_own(source, config):
        first = source.first or cut_plain(own, config.split).frozen_from
        chosen = chosen._replace(rows=with_past(own, first))
    else:
        chosen = _with_past_of_run(chosen, config, source, schema)
    rows = _between(chosen.rows, source)
    if missing := sorted(set(schema.names) - set(_columns(rows))):
        raise ValueError(f"The rows must have the features of {run}. Received: missing={missing}")
    return chosen._replace(rows=rows.with_schema(schema))


def _columns(rows: Rows) -> list[str]:
    return rows.scan().collect_schema().names()


def _read(config: RunConfig, source: ScoreSource, schema: FeatureSchema) -> tuple[Rows, dict[str, Any]]:
    """The rows as in the files, and the fingerprints of the files."""
    data = source.data or config.data
    if not is_log(data):
        rows = load(data, source.data_dir, **config.data_options)
        return rows, {data: fingerprint([rows.columns()])}
    sources = _files_of(data)
    if _is_own(source, config) and not set(source.keys or ()) & set(Log.read(data).ignore):
        return config.load(), sources  # reuses the training's rows on disk
    options = {name: config.data_options.get(name) for name in ("half_life", "rates")}
    return load_rows_to_score(data, schema, memory=config.memory, **options), sources


def _files_of(data: str) -> dict[str, Any]:
    log = Log.read(data)
    declared = [
        *log.files,
        *log.split.test_files,
        *(f for table in log.tables for f in table.files),
    ]
    paths = [Path(data), *list_files(declared, log.folder)]
    return {str(path): stamp[1:] for path, stamp in zip(paths, fingerprints(paths), strict=True)}


def _keys(rows: Rows, source: ScoreSource, config: RunConfig) -> list[str]:
    names = _usual_keys(rows, source.data or config.data) if source.keys is None else list(source.keys)
    there = _columns(rows)
    if absent := [name for name in names if name not in there]:
        raise ValueError(
            f"`keys` must be columns of the rows, {[name for name in there if not name.startswith('__')]}. "
            f"Received: {absent}"
        )
    if taken := sorted(set(names or [PLACE]) & set(rows.task_names)):
        raise ValueError(f"`keys` must not have the name of a task. Received: {taken}")
    return list(dict.fromkeys(names))


def _usual_keys(rows: Rows, data: str) -> list[str]:
    if not is_log(data):
        return [name for name in (rows.user, rows.time) if name is not None]
    log = Log.read(data)
    time = log.date if log.time is None else log.time.column
    return [name for name in (log.user, log.request, time, *log.unique) if name is not None]


def _is_own(source: ScoreSource, config: RunConfig) -> bool:
    return source.data is None or Path(source.data).resolve() == Path(config.data).resolve()


def _between(rows: RowsT, source: ScoreSource) -> RowsT:
    if source.first is None and source.last is None:
        return rows
    return rows.between(source.first, source.last)


def _with_past_of_run(
    found: RowsToScore, config: RunConfig, source: ScoreSource, schema: FeatureSchema
) -> RowsToScore:
    """Adds statistics and histories from the run's own data."""
    past = config.load(None if is_log(config.data) else source.data_dir)
    rows, roles = found.rows, past.roles
    names = {group.name for group in roles.statistics} | {history.name for history in roles.histories}
    if not names:
        return found
    if rows.date is None:
        raise ValueError(
            f"Rows with statistics {sorted(names)} must have `time` or `date`. Received: {rows.name}"
        )
    earlier = _files_of(config.data) if is_log(config.data) else {config.data: fingerprint([roles.columns()])}
    is_labelled = has_outcomes(rows, past)
    rows = rows if is_labelled else _between(rows, source)
    raw = FeatureSchema(tuple(own for own in schema.features if own.name in roles.schema.names))
    keys = {name: _KEY + name for name in found.keys}
    recipe = {"rows": found.sources, "past": earlier, "dates": [str(source.first), str(source.last)]}
    both = under_past(rows, past, raw, {new: old for old, new in keys.items()}, is_labelled, recipe)
    first = rows.dates()[0]
    known = with_past(both, source.first or (None if is_labelled else first))
    return RowsToScore(known.between(first, None), keys, {**found.sources, **earlier})
