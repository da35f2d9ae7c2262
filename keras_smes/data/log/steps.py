"""From joined rows in order to interactions, in memory and on disk alike: labels, split, features, roles.

The rows are in one part or in several. Rows to train on and rows to score differ in two `Steps`.
"""

import datetime
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from keras_smes.console import track
from keras_smes.data.files.reader import FILE
from keras_smes.data.interactions import Interactions
from keras_smes.data.log.auto import choose_features
from keras_smes.data.log.declaration import AUTO, Log, Table
from keras_smes.data.log.labels import Labelling, labelling
from keras_smes.data.log.times import DATE, TIME
from keras_smes.data.roles import SplitDates, all_skipped
from keras_smes.data.split import TEST, USUAL_FRACTION, complete_dates, first_test_place
from keras_smes.data.split_config import DATES, SplitConfig
from keras_smes.features.schema import FeatureSchema

# What interactions take from a log by the same name.
_AS_DECLARED = (
    "name", "user", "tasks", "statistics", "histories", "time_zone", "rates", "half_life", "weight",
    "request", "skip_training", "memory",
)  # fmt: skip
_THERE = "__there"
# From the rows of a part and the place of its first to which of them test.
Tests = Callable[[pl.DataFrame, int], pl.Series]


class Steps(NamedTuple):
    """What depends on whether rows are trained on or scored.

    Attributes:
        name: What the names of their folders begin with.
        labelling: From all rows, not yet read, to what gives some of them labels.
        schema: From the rows with labels, and the dates of the split, to the features.
        identical: Columns: of the duplicates, rows that repeat another in all of these are counted apart.
    """

    name: str
    labelling: Callable[[pl.LazyFrame, Log], Labelling]
    schema: Callable[[pl.LazyFrame, Log, SplitDates | None], FeatureSchema]
    identical: tuple[str, ...] = ()


class Parts(NamedTuple):
    """The rows of one part after another, and the dates of the split; `None` where `TEST` says it."""

    frames: Iterator[pl.DataFrame]
    dates: SplitDates | None


def without_files(rows: pl.DataFrame, log: Log, test_from: int) -> pl.DataFrame:
    """Returns rows without `FILE`, but with `TEST` where the files from a place on are those of test rows."""
    if log.split.test_files:
        rows = rows.with_columns((pl.col(FILE) >= test_from).alias(TEST))
    return rows.drop(FILE)


def join(rows: pl.DataFrame, table: Table, entries: pl.LazyFrame, counts: dict[str, int]) -> pl.DataFrame:
    """Returns rows with the columns of a side table, of which the entries of these rows are in memory.

    Args:
        rows: Some rows.
        table: The table.
        entries: What `check_table` returned of it.
        counts: Gets the rows `without` an entry, or more of them.
    """
    shown = rows.lazy().select(table.key).unique()
    own = entries.join(shown, on=table.key, how="semi").with_columns(pl.lit(True).alias(_THERE))
    rows = rows.join(own.collect(engine="streaming"), on=table.key, how="left", maintain_order="left")
    name = f"without_{Path(table.files[0]).name.split('.')[0]}"
    counts[name] = counts.get(name, 0) + rows[_THERE].null_count()
    return rows.drop(_THERE)


def finished_parts(
    rows: pl.LazyFrame,
    tables: Sequence[pl.LazyFrame],
    log: Log,
    steps: Steps,
    counts: dict[str, int],
    part_rows: int | None,
    verbose: int,
) -> Parts:
    """Joins and labels rows, splits them and leaves out ignored columns, a part at a time.

    Args:
        rows: All rows, in order.
        tables: The entries of the log's side tables. None: the rows have them already.
        log: The `Log`.
        steps: How they are labelled.
        counts: As for `join`.
        part_rows: Rows of a part. `None`: all are one part.
        verbose: `1` shows a bar.
    """
    height = rows.select(pl.len()).collect().item()
    added = [entries.drop(table.key) for table, entries in zip(log.tables, tables, strict=False)]
    label_rows = steps.labelling(pl.concat([rows, *added], how="diagonal"), log)
    dates, tests = _split(rows, height, log)

    def part(start: int) -> pl.DataFrame:
        some = rows.slice(start, part_rows).collect()
        for table, entries in zip(log.tables, tables, strict=False):
            some = join(some, table, entries, counts)
        some = label_rows(some)
        last = [name for name in (TIME, DATE) if name in some.columns]
        some = some.select(pl.exclude(last), *last)
        if tests is not None:
            some = some.with_columns(tests(some, start).alias(TEST))
        return some.drop(log.ignore, strict=False)

    return Parts(map(part, track(range(0, height, part_rows or height), "Writing parts", verbose)), dates)


def _split(rows: pl.LazyFrame, height: int, log: Log) -> tuple[SplitDates | None, Tests | None]:
    """Returns the dates of the split, or what says which rows of a part test."""
    columns = rows.collect_schema()
    if TEST in columns:
        return None, None
    split = log.split if log.split.given() else SplitConfig(test_fraction=USUAL_FRACTION)
    days = _days(rows) if DATE in columns else None
    arguments = split.resolve(days, log.name)
    if "test_fraction" not in arguments:
        if log.features == AUTO and days is not None:
            log.split.check(days, log.name)
        return complete_dates(*(arguments.get(key) for key in DATES)), None
    if days is None or split.by == "hash":
        return None, lambda part, start: split.hashed_tests(part.height, start)
    place = first_test_place(height, arguments["test_fraction"])
    boundary = rows.select(TIME).slice(place, 1).collect().item()
    return None, lambda part, start: part[TIME] >= boundary


def _days(rows: pl.LazyFrame) -> dict[datetime.date, int]:
    return dict(rows.group_by(DATE).len().collect(engine="streaming").sort(DATE).rows())


def features_to_train(rows: pl.LazyFrame, log: Log, dates: SplitDates | None) -> FeatureSchema:
    """Returns the declared features, or those that `auto` chooses; a column at a time is in memory."""
    if not isinstance(log.features, str):
        return FeatureSchema(log.features)
    train = _to_train(rows, log, dates)
    taken = {*log.roles(), *(label.task for label in log.labels)}
    columns = rows.collect_schema().names()
    # The index of a frame that pandas wrote as CSV is a column without a name.
    free = [name for name in columns if name and name not in taken and not name.startswith("__")]
    features = choose_features((train.select(name).collect()[name] for name in free), _keys(log))
    if not features:
        raise ValueError(
            "`features: auto` finds no column without a role that differs between training rows. "
            f"Received: columns without a role={free}"
        )
    return FeatureSchema(tuple(features))


def _keys(log: Log) -> set[str]:
    """Columns that identify things, whatever their names."""
    items = {history.item for history in log.histories}
    return items.union(*(own.key for own in log.tables), *(group.columns for group in log.statistics))


def _to_train(rows: pl.LazyFrame, log: Log, dates: SplitDates | None) -> pl.LazyFrame:
    """The rows until a date, or those that don't test, and none that is skipped."""
    train = rows.filter(~pl.col(TEST) if dates is None else pl.col(DATE) <= dates.train_until)
    if log.skip_training is None:
        return train
    kept = train.filter(~pl.col(log.skip_training).cast(pl.Boolean))
    total, left = (own.select(pl.len()).collect().item() for own in (train, kept))
    if total and not left:
        raise all_skipped(log.skip_training, total, log.name)
    return kept


TRAINING = Steps("log", labelling, features_to_train)


def interactions_of(
    log: Log, frame: pl.DataFrame, schema: FeatureSchema, counts: dict[str, int], dates: SplitDates | None
) -> Interactions:
    """Returns rows of a log, all or none, with the roles of their columns."""
    time, date, test = (name if name in frame.columns else None for name in (TIME, DATE, TEST))
    return Interactions(
        frame=frame, time=time, date=date, schema=schema, counts=counts, split_dates=dates, test_column=test,
        **{name: getattr(log, name) for name in _AS_DECLARED},
    )  # fmt: skip
