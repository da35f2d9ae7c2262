"""The rows that a run scores, with statistics as of their day and without labels."""

import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from keras_smes.data import Interactions, KeyGroup, Log, date_range, load, with_histories, with_statistics
from keras_smes.data.files.reader import list_files
from keras_smes.data.log import load_to_score
from keras_smes.data.split_config import cut_plain
from keras_smes.data.store.cache import fingerprints
from keras_smes.features.schema import FeatureSchema
from keras_smes.training.config import RunConfig
from keras_smes.training.loop.resume import fingerprint
from keras_smes.training.run_folder import load_config, load_schema

PLACE = "row"  # the key of rows that have no other
_SCORED = "__scored"


@dataclasses.dataclass(frozen=True)
class ScoreSource:
    """Which rows are scored, and the key columns that identify them.

    Args:
        data: The YAML of a log, or the name of a data set. Defaults to `None`, the run's own.
        data_dir: Folder of the files of a data set that is no declared log. Defaults to `None`.
        keys: Columns that are written beside the scores. Defaults to `None`: the user, the request, the time
            and the columns that are `unique`, as far as the log has them, or else `row`, the place among the
            rows.
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
        rows: The rows, with the run's features.
        keys: The columns by which they are known again.
        sources: What is known of each file that was read, by name; of rows without files, of the rows.
    """

    rows: Interactions
    keys: pl.DataFrame
    sources: dict[str, Any]


def read_rows_to_score(run: str | Path, source: ScoreSource) -> RowsToScore:
    """Reads the rows of a source, with the statistics and histories that the run's features need.

    A row knows what was known before its day: the run's own data before the first of the rows' days, and
    earlier rows that have labels. Rows without labels, such as candidates, know what was known on the first
    of their days. Rows of the run's own data from its first test day on, and those from `source.first` on,
    know what `evaluate_run` has them know.

    Args:
        run: Folder of the run.
        source: The `ScoreSource`.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A column is missing or has another type, or no row is dated so; names it.
    """
    config, schema = load_config(run), load_schema(run)
    own, sources = _read(config, source, schema)
    keys = _keys(own, source, config)
    place = pl.int_range(len(own), eager=True).alias(_SCORED)
    own = dataclasses.replace(own, frame=own.frame.with_columns(place))
    if set(schema.names) <= set(own.frame.columns):
        chosen = own
    elif _is_own(source, config):
        first = source.first or cut_plain(own, config.split).frozen_from
        chosen = with_histories(with_statistics(own, first), first)
    else:
        chosen, past = _with_past(own, config, source, schema)
        sources |= past
    chosen = _between(chosen, source)
    if missing := sorted(set(schema.names) - set(chosen.frame.columns)):
        raise ValueError(f"The rows must have the features of {run}. Received: missing={missing}")
    rows = dataclasses.replace(chosen, schema=schema, statistics=(), histories=())
    return RowsToScore(rows, keys[rows.frame[_SCORED]], sources)


def _read(
    config: RunConfig, source: ScoreSource, schema: FeatureSchema
) -> tuple[Interactions, dict[str, Any]]:
    """The rows with what the files hold, and what is known of the files."""
    data = source.data or config.data
    if not data.endswith((".yaml", ".yml")):
        rows = load(data, source.data_dir, **config.data_options)
        return rows, {data: fingerprint([rows.columns()])}
    options = {name: config.data_options.get(name) for name in ("half_life", "rates")}
    changed: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if "rates" in changed:
        changed["rates"] = tuple(changed["rates"])
    sources = _files_of(data)
    return load_to_score(dataclasses.replace(Log.read(data), **changed), schema), sources


def _files_of(data: str) -> dict[str, Any]:
    log = Log.read(data)
    declared = [
        *log.files,
        *log.split.test_files,
        *(f for table in log.tables for f in table.files),
    ]
    paths = [Path(data), *list_files(declared, log.folder)]
    return {str(path): stamp[1:] for path, stamp in zip(paths, fingerprints(paths), strict=True)}


def _keys(rows: Interactions, source: ScoreSource, config: RunConfig) -> pl.DataFrame:
    names = _usual_keys(rows, source.data or config.data) if source.keys is None else list(source.keys)
    if absent := [name for name in names if name not in rows.frame.columns]:
        there = [name for name in rows.frame.columns if not name.startswith("__")]
        raise ValueError(f"`keys` must be columns of the rows, {there}. Received: {absent}")
    if taken := sorted(set(names or [PLACE]) & set(rows.task_names)):
        raise ValueError(f"`keys` must not be named as a task, whose scores are. Received: {taken}")
    if not names:
        return pl.DataFrame({PLACE: pl.int_range(len(rows), eager=True)})
    return rows.frame.select(list(dict.fromkeys(names)))


def _usual_keys(rows: Interactions, data: str) -> list[str]:
    if not data.endswith((".yaml", ".yml")):
        return [name for name in (rows.user, rows.time) if name is not None]
    log = Log.read(data)
    time = log.date if log.time is None else log.time.column
    return [name for name in (log.user, log.request, time, *log.unique) if name is not None]


def _is_own(source: ScoreSource, config: RunConfig) -> bool:
    return source.data is None or Path(source.data).resolve() == Path(config.data).resolve()


def _between(rows: Interactions, source: ScoreSource) -> Interactions:
    if source.first is None and source.last is None:
        return rows
    return rows.between(source.first, source.last)


def _with_past(
    rows: Interactions, config: RunConfig, source: ScoreSource, schema: FeatureSchema
) -> tuple[Interactions, dict[str, Any]]:
    """The rows with statistics and histories of the run's own data too, and what is known of its files."""
    past = load(config.data, source.data_dir, **config.data_options)
    is_log = config.data.endswith((".yaml", ".yml"))
    sources = _files_of(config.data) if is_log else {config.data: fingerprint([past.columns()])}
    names = {group.name for group in past.statistics} | {history.name for history in past.histories}
    if not names:
        return rows, {}
    if rows.date is None:
        raise ValueError(
            f"Rows with {sorted(names)} as of their day must have `time` or `date`. Received: {rows.name}"
        )
    is_labelled = _has_labels(rows, past)
    rows = rows if is_labelled else _between(rows, source)
    first = date_range(rows)[0]
    raw = FeatureSchema(tuple(own for own in schema.features if own.name in past.schema.names))
    earlier = past.frame.filter(pl.col(past.column("date")) < first)
    frame = _one_under_the_other(
        earlier, _renamed(rows, past, is_labelled), [*_columns_of_past(past, raw), _SCORED], past.name
    )
    both = dataclasses.replace(
        past,
        frame=frame.sort(past.column("time"), maintain_order=True),
        schema=raw, split_dates=None, test_column=None, weight=None,
        request=None, skip_training=None,
    )  # fmt: skip
    frozen_from = source.first or (None if is_labelled else first)
    known = with_histories(with_statistics(both, frozen_from), frozen_from)
    return dataclasses.replace(known, frame=known.frame.filter(pl.col(_SCORED).is_not_null())), sources


def _outcomes(past: Interactions) -> set[str]:
    """The labels that statistics and histories are of."""
    counted = past.event_columns if past.statistics else ()
    return {*counted, *(history.label for history in past.histories)}


def _has_labels(rows: Interactions, past: Interactions) -> bool:
    frame = rows.frame
    return all(name in frame and frame[name].null_count() < len(frame) for name in _outcomes(past))


def _columns_of_past(past: Interactions, raw: FeatureSchema) -> list[str]:
    groups: Sequence[KeyGroup] = past.statistics
    names = [past.user, past.time, past.date, *raw.names, *past.label_columns, *past.event_columns]
    names += [column for group in groups for column in group.columns]
    names += [column for history in past.histories for column in (history.item, history.label)]
    return [name for name in dict.fromkeys(names) if name is not None]


def _renamed(rows: Interactions, past: Interactions, is_labelled: bool) -> pl.DataFrame:
    """The rows with user, time and date named as in the past, and outcomes that they don't have unknown."""
    pairs = {getattr(rows, role): getattr(past, role) for role in ("user", "time", "date")}
    own = {old: new for old, new in pairs.items() if None not in (old, new) and old != new}
    frame = rows.frame.drop([new for new in own.values() if new in rows.frame.columns]).rename(own)
    late = {*past.label_columns, *past.event_columns, *_outcomes(past)}
    unknown = [name for name in sorted(late) if not is_labelled or name not in frame.columns]
    return frame.with_columns(pl.lit(None).alias(name) for name in unknown)


def _one_under_the_other(
    past: pl.DataFrame, rows: pl.DataFrame, columns: Sequence[str], name: str
) -> pl.DataFrame:
    if missing := [column for column in columns if column not in rows.columns]:
        raise ValueError(f"The rows must have the columns of {name}. Received: missing={missing}")
    past = past.with_columns(pl.lit(None, pl.Int64).alias(_SCORED)).select(columns)
    for column in columns:
        ours, theirs = rows[column].dtype, past[column].dtype
        if pl.Null not in (ours, theirs) and ours.is_numeric() != theirs.is_numeric():
            raise ValueError(
                f"Column {column!r} must have the type that it has in {name}, {theirs}. Received: {ours}"
            )
    return pl.concat([past, rows.select(columns)], how="vertical_relaxed")
