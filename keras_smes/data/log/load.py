"""From a declared log to interactions: read, joined, made unique, labelled, in order of time, and cut."""

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl

from keras_smes.data.column_types import as_dates, as_marks, as_times
from keras_smes.data.files.csv_reader import drop_duplicates
from keras_smes.data.files.reader import FILE, days_of_digits, list_files, read_files
from keras_smes.data.interactions import Interactions, count_days
from keras_smes.data.log.auto import choose_features
from keras_smes.data.log.declaration import UNITS, Log, Table, TimeColumn
from keras_smes.data.log.labels import with_labels
from keras_smes.data.past.leaks import OUTCOME, refuse_leaks
from keras_smes.data.roles import SplitDates, all_skipped
from keras_smes.data.split import TEST, complete_dates, rows_of_fraction
from keras_smes.data.split_config import DATES, SplitConfig
from keras_smes.features.schema import FeatureSchema

TIME, DATE = "__time", "__date"
_YEARS = (315_532_800, 4_102_444_800)  # 1980 to 2100, in seconds since 1970
USUAL_FRACTION = 0.2


def load_log(log: Log) -> Interactions:
    """Reads the rows of a declared log into memory.

    Args:
        log: The `Log`, such as `Log.read("log.yaml")`.

    Returns:
        The rows in order of time, or of the files where there is none. `counts` has `rows_read`, the
        `duplicates` dropped, and for each side table the rows `without` an entry in it.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file, column or value is not what the log says; names it. Or the rows take more than
            `memory`.

    Example:

    >>> frame = pl.DataFrame({"colour": ["red", "blue"] * 9, "click": [0, 1, 1] * 6})
    >>> frame.write_parquet(folder / "rows.parquet")
    >>> rows = load_log(Log("mine", ("rows.parquet",), (BinaryTask("click"),), folder=folder))
    >>> len(rows), rows.schema.names
    (18, ['colour'])
    """
    check_request(log)
    frame, counts = read_rows(log)
    frame = with_labels(frame, log.labels)
    frame = in_order(with_time(frame, log))
    check_columns(frame, log)
    frame, dates = with_split(frame, log)
    check_memory(frame, log)
    schema = _schema(frame, log, dates)
    return interactions_of(log, frame.drop(log.ignore, strict=False), schema, counts, dates)


def interactions_of(
    log: Log,
    frame: pl.DataFrame,
    schema: FeatureSchema,
    counts: dict[str, int],
    dates: SplitDates | None,
) -> Interactions:
    return Interactions(
        log.name,
        frame,
        log.user,
        TIME if TIME in frame.columns else None,
        DATE if DATE in frame.columns else None,
        log.tasks,
        schema,
        counts,
        log.statistics,
        log.histories,
        dates,
        log.time_zone,
        rates=log.rates,
        half_life=log.half_life,
        test_column=TEST if TEST in frame.columns else None,
        weight=log.weight,
        request=log.request,
        skip_training=log.skip_training,
    )


def read_rows(log: Log) -> tuple[pl.DataFrame, dict[str, int]]:
    files = list_files(log.files, log.folder)
    test_files = list_files(log.split.test_files, log.folder)
    frame = read_files([*files, *test_files])
    if test_files:
        frame = frame.with_columns((pl.col(FILE) >= len(files)).alias(TEST))
    if frame.is_empty():
        raise no_rows(files)
    counts = {"rows_read": frame.height}
    frame = frame.drop(FILE)
    if log.unique:
        check_there(frame, "unique", log.unique)
        frame, counts["duplicates"] = drop_duplicates(frame, log.unique)
    for table in log.tables:
        frame, counts[f"without_{table_name(table)}"] = _joined(frame, table, log.folder)
    return frame, counts


def no_rows(files: Sequence[Path]) -> ValueError:
    """Returns the error of a log without rows."""
    return ValueError(f"A log must have rows. Received: none in {len(files)} files, the first {files[0]}")


def table_name(table: Table) -> str:
    return Path(table.files[0]).name.split(".")[0]


def _joined(frame: pl.DataFrame, table: Table, folder: Path) -> tuple[pl.DataFrame, int]:
    """Returns rows with the columns of a side table, and how many rows have no entry in it."""
    entries = read_files(list_files(table.files, folder)).drop(FILE)
    key = list(table.key)
    if entries.is_empty():
        raise no_entries(table)
    check_table(table, frame.schema, entries.schema)
    doubled = entries.filter(~pl.struct(key).is_first_distinct())
    if doubled.height:
        raise repeated_key(table, doubled.select(key).row(0))
    there = entries.select(key).with_columns(pl.lit(True).alias("__there"))
    known = frame.select(key).join(there, on=key, how="left", maintain_order="left")["__there"]
    return frame.join(entries, on=key, how="left", maintain_order="left"), known.null_count()


def no_entries(table: Table) -> ValueError:
    """Returns the error of a side table without rows."""
    return ValueError(f"Table {table.files[0]} must have rows. Received: a header without any")


def check_table(table: Table, rows: pl.Schema, entries: pl.Schema) -> None:
    """Stops if a side table can't be joined: its key is no key of both, or a column is there twice."""
    key = list(table.key)
    for where, columns in (("rows", rows), (f"table {table.files[0]}", entries)):
        if missing := sorted(set(key) - set(columns)):
            raise ValueError(
                f"`key` must be columns of rows and table. Received: {missing} not in the {where}"
            )
    if repeated := sorted((set(entries) & set(rows)) - set(key)):
        raise ValueError(
            f"Table {table.files[0]} must have other columns than the rows. Received: {repeated}"
        )
    for name in key:
        if rows[name].is_numeric() != entries[name].is_numeric():
            raise ValueError(
                f"`key` {name!r} must have one type. Received: {rows[name]} in the rows, "
                f"{entries[name]} in {table.files[0]}"
            )


def repeated_key(table: Table, key: tuple[Any, ...]) -> ValueError:
    """Returns the error of a side table that has a key twice."""
    return ValueError(
        f"Table {table.files[0]} must have each key {list(table.key)} once. Received: {key} again"
    )


def with_time(frame: pl.DataFrame, log: Log) -> pl.DataFrame:
    """Returns rows with `TIME` and `DATE`; as they are where there is neither."""
    check_there(frame, "time", [log.time.column] if log.time else [])
    check_there(frame, "date", [log.date] if log.date else [])
    if log.time is not None:
        times = _moments(frame[log.time.column], log.time)
    elif log.date is not None:
        days = _days(frame[log.date], log.time_zone)
        noons = days.cast(pl.Datetime("ms")) + datetime.timedelta(hours=12)  # there in every time zone
        times = noons.dt.replace_time_zone(log.time_zone).dt.epoch("ms")
    else:
        return frame
    if log.date is None:
        moments = pl.from_epoch(times, time_unit="ms").dt.replace_time_zone("UTC")
        days = moments.dt.convert_time_zone(log.time_zone).dt.date()
    else:
        days = _days(frame[log.date], log.time_zone)
    return frame.with_columns(times.alias(TIME), days.alias(DATE))


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort(TIME, maintain_order=True) if TIME in frame.columns else frame


def _days(values: pl.Series, time_zone: str) -> pl.Series:
    digits = days_of_digits(values)
    return as_dates(values if digits is None else digits, time_zone=time_zone)


def _moments(values: pl.Series, time: TimeColumn) -> pl.Series:
    """Milliseconds since 1970 (UTC), of numbers in the declared unit or of timestamps."""
    if not values.dtype.is_numeric():
        return as_times(values)
    _check_unit(values, time)
    factor = UNITS[time.unit]
    if factor == 1:
        return as_times(values)
    scaled = values * int(factor) if factor > 1 else values // int(1 / factor)
    return as_times(scaled.floor() if scaled.dtype.is_float() else scaled)


def _check_unit(values: pl.Series, time: TimeColumn) -> None:
    """Stops at moments of no log: those of another unit are years of 1970, or thousands of years ahead."""
    for received in (values.min(), values.max()):
        if not isinstance(received, int | float) or not math.isfinite(received):
            continue
        fits = [unit for unit, factor in UNITS.items() if _YEARS[0] <= received * factor / 1000 <= _YEARS[1]]
        if time.unit not in fits:
            hint = f", which fits unit {fits[0]!r}" if fits else ""
            raise ValueError(
                f"`time` column {values.name!r} must hold moments of the years 1980 to 2100, in unit "
                f"{time.unit!r} since 1970. Received: {received}{hint}"
            )


def check_there(frame: pl.DataFrame, role: str, columns: Sequence[str]) -> None:
    if missing := sorted(set(columns) - set(frame.columns)):
        there = [name for name in frame.columns if not name.startswith("__")]
        raise ValueError(f"`{role}` must name columns that are there. Received: {missing}, not in {there}")


def check_columns(frame: pl.DataFrame, log: Log) -> None:
    for column, role in log.roles().items():
        check_there(frame, role, [column])
    check_there(frame, "statistics", [column for group in log.statistics for column in group.columns])
    check_there(frame, "histories", [column for past in log.histories for column in (past.item, past.label)])
    check_there(frame, "rates", log.rates or ())
    if log.skip_training is not None:
        as_marks(frame[log.skip_training])
    if not isinstance(log.features, str):
        names, roles = [feature.name for feature in log.features], log.roles()
        outcomes = {column for column, role in roles.items() if role in ("label", "condition", "outcome")}
        refuse_leaks("features", dict.fromkeys(outcomes & set(names), OUTCOME), allow_leaks=False)
        check_there(frame, "features", names)


def with_split(frame: pl.DataFrame, log: Log) -> tuple[pl.DataFrame, SplitDates | None]:
    """Returns rows with `TEST` where a column says which test, and the dates where these do."""
    if TEST in frame.columns:
        return frame, None
    dates, split = planned_split(log, count_days(frame[DATE]) if DATE in frame.columns else None)
    if dates is not None:
        return frame, dates
    if TIME not in frame.columns or split.by == "hash":
        return frame.with_columns(split.hashed_tests(frame.height)), None
    tests = rows_of_fraction(frame, TIME, split.test_fraction or USUAL_FRACTION)
    return frame.with_columns(tests.alias(TEST)), None


def planned_split(
    log: Log, days: Mapping[datetime.date, int] | None
) -> tuple[SplitDates | None, SplitConfig]:
    """Returns the dates at which a log is cut, or `None` and the split that says which rows test."""
    split = log.split if log.split.given() else SplitConfig(test_fraction=USUAL_FRACTION)
    arguments = split.resolve(days, log.name)
    if "test_fraction" in arguments:
        return None, split
    return complete_dates(*(arguments.get(key) for key in DATES)), split


def _schema(frame: pl.DataFrame, log: Log, dates: SplitDates | None) -> FeatureSchema:
    if not isinstance(log.features, str):
        return FeatureSchema(log.features)
    if dates is not None:
        log.split.check(count_days(frame[DATE]), log.name)
    train = rows_to_train(frame.lazy(), log, dates).collect()
    return auto_schema(log, frame.columns, lambda name: train[name])


def rows_to_train(rows: pl.LazyFrame, log: Log, dates: SplitDates | None) -> pl.LazyFrame:
    """Returns the rows that are trained on: those until a date, or those that don't test, and none skipped.

    Raises:
        ValueError: All of them are skipped.
    """
    train = rows.filter(~pl.col(TEST) if dates is None else pl.col(DATE) <= dates.train_until)
    if log.skip_training is None:
        return train
    kept = train.filter(~pl.col(log.skip_training).cast(pl.Boolean))
    total, left = (own.select(pl.len()).collect().item() for own in (train, kept))
    if total and not left:
        raise all_skipped(log.skip_training, total, log.name)
    return kept


def auto_schema(log: Log, columns: Sequence[str], values: Callable[[str], pl.Series]) -> FeatureSchema:
    """Returns the features of `features: auto`.

    Args:
        log: The `Log`.
        columns: All columns of the rows.
        values: From the name of a column to its values in the training rows.
    """
    taken = {*log.roles(), *(label.task for label in log.labels)}
    free = [name for name in columns if name not in taken and not name.startswith("__")]
    features = choose_features(map(values, free))
    if not features:
        raise ValueError(
            "`features: auto` finds no column without a role that differs between training rows. "
            f"Received: columns without a role={free}"
        )
    return FeatureSchema(tuple(features))


def check_request(log: Log) -> None:
    """Stops if metrics of requests can't be computed."""
    if log.request is not None and find_spec("keras_rs") is None:
        raise ImportError("`request` is for NDCG, which needs keras-rs: pip install 'keras_smes[ranking]'")


def check_memory(frame: pl.DataFrame, log: Log) -> None:
    size = frame.estimated_size()
    if log.memory is not None and size > log.memory:
        raise ValueError(
            f"`memory` must hold the rows; `store_log` keeps them on disk. Received: memory={log.memory}, "
            f"{frame.height} rows of {size} bytes"
        )
