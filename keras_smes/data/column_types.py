"""The normal form of a log's columns: one type for each role, and rejection of what can't be read as it.

A date is a `Date`, a moment an `Int64` of milliseconds since 1970 (UTC), an id an integer or a string, a
label a number. Each function takes a column as it came and returns it in normal form. A column that is in
normal form already costs next to nothing, so rows may be checked again whenever they are cut or extended.
"""

import datetime
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NoReturn

import numpy as np
import polars as pl

from keras_smes.features.feature import Feature
from keras_smes.features.raw.conversion import MISSING_INTEGER, MISSING_STRING
from keras_smes.features.raw.padding import pad
from keras_smes.features.sequences import MultiValued

# From a column as it came to its normal form.
Conversion = Callable[[pl.Series], pl.Series]
# A column, and what it must become. A column of two roles is named twice.
Conversions = Iterable[tuple[str, Conversion]]

_SMALL_INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32)
_TEXT = (pl.String, pl.Categorical, pl.Enum)
# From here on neighbouring integers are one and the same float.
_FIRST_INEXACT: dict[Any, float] = {pl.Float32: 2.0**24, pl.Float64: 2.0**53}
_DAY_MS = 86_400_000
_APART_DAYS = 366  # no log dates a row a year off its moment
_OTHER_UNITS = {"s": ("seconds", 1e3), "us": ("microseconds", 1e-3), "ns": ("nanoseconds", 1e-6)}


def to_normal_form(frame: pl.DataFrame, conversions: Conversions) -> pl.DataFrame:
    """Returns rows with columns in normal form.

    Raises:
        ValueError: A column has another type, or a value that its role can't have; names both.
    """
    changed: dict[str, pl.Series] = {}
    for name, convert in conversions:
        values = changed.get(name, frame[name])
        if (normal := convert(values)) is not values:
            changed[name] = normal
    return frame.with_columns(changed.values()) if changed else frame


def scan_in_normal_form(rows: pl.LazyFrame, conversions: Conversions) -> pl.LazyFrame:
    """Returns rows that are not yet read, with the columns of other types converted as they are read.

    Raises:
        ValueError: A column has a type that its role can't have.
    """
    schema = rows.collect_schema()
    for name, convert in conversions:
        if name in schema:
            normal = convert(pl.Series(name, [], schema[name])).dtype
            if normal != schema[name]:
                rows = rows.with_columns(pl.col(name).map_batches(convert, return_dtype=normal))
                schema[name] = normal
    return rows


def as_dates(values: pl.Series, role: str = "date", time_zone: str = "UTC") -> pl.Series:
    """Returns days: a timestamp becomes its day, one with a time zone its day in `time_zone`.

    Args:
        values: `Date` or `Datetime`, without nulls.
        role: What the column is, for messages. Defaults to `"date"`.
        time_zone: Where a day begins. Defaults to `"UTC"`.
    """
    dtype = values.dtype
    if isinstance(dtype, pl.Datetime):
        zoned = values.dt.convert_time_zone(time_zone) if dtype.time_zone else values
        days = zoned.dt.date()
    elif dtype == pl.Date:
        days = values
    elif dtype == pl.Null:
        days = values.cast(pl.Date)
    else:
        hint = f"; `pl.col({values.name!r}).str.to_date()` parses text" if dtype in _TEXT else ""
        _reject(values, role, f"dates, of type Date or Datetime{hint}")
    _reject_nulls(days, role, "a date in each row")
    return days


def as_times(values: pl.Series, role: str = "time") -> pl.Series:
    """Returns moments as Int64 milliseconds since 1970 (UTC).

    Args:
        values: Whole milliseconds, or `Datetime` of any unit, without nulls. One without a time zone is
            taken as UTC.
        role: What the column is, for messages. Defaults to `"time"`.
    """
    dtype = values.dtype
    expected = "whole milliseconds since 1970 (UTC), or timestamps of type Datetime"
    if isinstance(dtype, pl.Datetime):
        times = values.dt.epoch("ms")
    elif dtype.is_numeric() or dtype == pl.Null:
        times = _whole(values, role, expected).cast(pl.Int64)
    else:
        hint = f"; `pl.col({values.name!r}).str.to_datetime()` parses text" if dtype in _TEXT else ""
        _reject(values, role, expected + hint)
    _reject_nulls(times, role, "a moment in each row")
    return values if dtype == pl.Int64 else times


def as_users(values: pl.Series, role: str = "user") -> pl.Series:
    """Returns whose row it is: integers or strings; null where unknown. Whole floats become integers."""
    if values.dtype in (pl.String, pl.UInt64):
        return values
    if values.dtype in _TEXT:
        return values.cast(pl.String)
    return as_integers(values, role, "integers or strings")


def as_integers(
    values: pl.Series,
    role: str = "id",
    expected: str = "integers within int64",
    rows: pl.Series | None = None,
) -> pl.Series:
    """Returns ids as integers within int64; floats and decimals only if whole and exact. Nulls stay.

    Args:
        values: The ids.
        role: What the column is, for messages. Defaults to `"id"`.
        expected: What it must hold, for messages.
        rows: In which row each value stands. Defaults to `None`, each in its own.
    """
    if values.dtype in _SMALL_INTEGERS:
        return values
    if values.dtype in (pl.Boolean, pl.Null):
        return values.cast(pl.Int64)
    if not values.dtype.is_numeric():
        _reject(values, role, expected, rows=rows)
    return _whole(values, role, expected, rows)


def as_numbers(values: pl.Series, role: str = "number", rows: pl.Series | None = None) -> pl.Series:
    """Returns a column of real numbers or booleans as it is; nulls stay."""
    if not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
        _reject(values, role, "numbers", rows=rows)
    return values


def as_strings(values: pl.Series, role: str = "string", rows: pl.Series | None = None) -> pl.Series:
    """Returns a column of text, or of what has one, as it is; nulls stay."""
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
        _reject(values, role, "strings", rows=rows)
    return values


def as_labels(values: pl.Series, role: str = "label") -> pl.Series:
    """Returns labels as numbers: true is 1, false 0, null unknown."""
    if values.dtype == pl.Boolean:
        return values.cast(pl.Int8)
    if values.dtype == pl.Null:
        return values.cast(pl.Float32)
    if not values.dtype.is_numeric():
        _reject(values, role, "numbers or booleans; `positive: [...]` of a log's task makes labels of text")
    return values


def as_weights(values: pl.Series, role: str = "weight") -> pl.Series:
    """Returns weights: finite numbers of at least 0, in each row."""
    expected = "finite numbers of at least 0"
    if not values.dtype.is_numeric():
        _reject(values, role, expected)
    good = values.is_not_null() & (values >= 0).fill_null(False)
    if values.dtype.is_float():
        good &= values.is_finite().fill_null(False)
    _reject_where(values, role, expected, ~good)
    return values


def as_marks(values: pl.Series, role: str = "skip_training") -> pl.Series:
    """Returns marks of rows: booleans, or numbers 0 and 1, in each row."""
    expected = "0 or 1"
    if values.dtype == pl.Boolean:
        _reject_nulls(values, role, expected)
        return values
    if not values.dtype.is_numeric():
        _reject(values, role, expected)
    _reject_where(values, role, expected, ~values.is_in([0, 1]).fill_null(False))
    return values


def as_lists(values: pl.Series, role: str, convert: Callable[..., pl.Series]) -> pl.Series:
    """Returns a column of lists, whose items are what `convert` makes of them; a null is an empty list."""
    lists = values.arr.to_list() if isinstance(values.dtype, pl.Array) else values
    if lists.dtype == pl.Null:
        return lists.cast(pl.List(pl.Null))
    if not isinstance(lists.dtype, pl.List):
        _reject(values, role, "lists")
    if lists.dtype.inner in (*_SMALL_INTEGERS, pl.String):
        return lists
    flat = pl.DataFrame([pl.int_range(len(lists), eager=True).alias("row"), lists.alias("items")])
    flat = flat.filter(pl.col("items").list.len() > 0).explode("items")
    items = convert(flat["items"].alias(values.name), role, rows=flat["row"])
    return lists if items.dtype == flat["items"].dtype else lists.cast(pl.List(items.dtype))


def conversion_of(feature: Feature) -> Conversion:
    """Returns what the column of a feature must become."""
    by_dtype: dict[str, Callable[..., pl.Series]] = {
        "int64": as_integers,
        "float32": as_numbers,
        "string": as_strings,
    }
    convert = by_dtype[feature.dtype]
    if isinstance(feature, MultiValued):
        return partial(as_lists, role=feature.kind, convert=convert)
    return partial(convert, role=feature.kind)


def to_inputs(feature: Feature, values: pl.Series) -> dict[str, np.ndarray]:
    """Returns the raw inputs of a feature, from its column in normal form."""
    if not isinstance(feature, MultiValued):
        return {feature.name: to_numpy(values, feature.dtype)}
    lengths = values.list.len().fill_null(0).to_numpy()
    flat = to_numpy(values.filter(lengths > 0).explode(), feature.dtype)
    padding = MISSING_STRING if feature.dtype == "string" else 0
    padded, kept = pad(flat, lengths.astype(np.int64), feature.max_length, feature.keep, padding)
    return {feature.name: padded, feature.length_name: kept}


def to_numpy(values: pl.Series, dtype: str) -> np.ndarray:
    """Returns a column as int64, float32 or str, with what stands for a missing value in place of nulls."""
    if dtype == "int64":
        return values.cast(pl.Int64).fill_null(MISSING_INTEGER).to_numpy()
    if dtype == "float32":
        return values.cast(pl.Float32).fill_null(float("nan")).to_numpy()
    return values.cast(pl.String).fill_null(MISSING_STRING).to_numpy()


def ids_to_numpy(values: pl.Series) -> np.ndarray:
    """Returns ids as they are: integers with nulls as objects, since floats would merge ids beyond 2**53."""
    if values.null_count() and values.dtype.is_integer():
        return np.array(values.to_list(), object)
    return values.to_numpy()


def as_day(name: str, value: Any) -> datetime.date:
    """Returns an argument as a date: a date, or the day of a timestamp without a time zone."""
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        return value.date()
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        raise ValueError(f"`{name}` must be a datetime.date. Received: {name}={value!r}")
    return value


def as_day_or_none(name: str, value: Any) -> datetime.date | None:
    """Returns an argument as `as_day` does, or `None` where it is left out."""
    return None if value is None else as_day(name, value)


def check_time_zone(name: str, value: Any) -> str:
    """Returns `value` if it is the name of a time zone."""
    try:
        pl.Series([], dtype=pl.Datetime("ms")).dt.replace_time_zone(value)
    except (pl.exceptions.ComputeError, TypeError):
        value_of = f"Received: {name}={value!r}"
        raise ValueError(f"`{name}` must name a time zone, such as 'Asia/Shanghai'. {value_of}") from None
    return str(value)


def check_unit(times: pl.Series, dates: pl.Series) -> None:
    """Stops if times, sorted and in normal form, fit their dates only if they are in another unit.

    Raises:
        ValueError: Names the column, the first value and the unit that fits.
    """
    if times.is_empty() or not _apart(times, dates):
        return
    for short, (unit, to_ms) in _OTHER_UNITS.items():
        if not _apart(times, dates, to_ms):
            raise ValueError(
                f"`time` column {times.name!r} must hold milliseconds since 1970 (UTC), or timestamps of "
                f"type Datetime. Received: {_first(times, dates)}, which fits {unit}; "
                f"`pl.from_epoch({times.name!r}, time_unit={short!r})` converts them"
            )


def check_same_days(times: pl.Series, dates: pl.Series) -> None:
    """Stops if the first and the last row are dated more than a year off their moments.

    What a row may know of the past goes by both, so that such rows would know nothing.

    Raises:
        ValueError: Names the columns and the first values.
    """
    if not times.is_empty() and _apart(times, dates):
        raise ValueError(
            f"`time` column {times.name!r} must be of about the days of `date` column {dates.name!r}, for "
            f"what is computed from earlier days. Received: {_first(times, dates)}"
        )


def _apart(times: pl.Series, dates: pl.Series, to_ms: float = 1.0) -> bool:
    """Whether the first and the last moment are both more than a year off their dates."""
    days = dates.to_physical()
    return all(abs(times[row] * to_ms / _DAY_MS - days[row]) > _APART_DAYS for row in (0, -1))


def _first(times: pl.Series, dates: pl.Series) -> str:
    return f"{times.name}[0]={times[0]} beside {dates.name}[0]={dates[0]}"


def _whole(values: pl.Series, role: str, expected: str, rows: pl.Series | None = None) -> pl.Series:
    """Returns numbers as Int64 if each is whole, within int64, and exact in the type that it came in."""
    if values.dtype in _SMALL_INTEGERS:
        return values
    whole = values.cast(pl.Int64, strict=False)
    same = (whole.cast(values.dtype) == values).fill_null(False)
    bound = _FIRST_INEXACT.get(type(values.dtype))
    if bound is not None:
        same &= (values.abs() < bound).fill_null(False)
    _reject_where(values, role, expected, values.is_not_null() & ~same, rows)
    return whole


def _reject_nulls(values: pl.Series, role: str, expected: str) -> None:
    if values.null_count():
        _reject_where(values, role, expected, values.is_null())


def _reject_where(
    values: pl.Series, role: str, expected: str, bad: pl.Series, rows: pl.Series | None = None
) -> None:
    if bad.any():
        _reject(values, role, expected, int(bad.arg_max() or 0), rows, f", one of {bad.sum()} such values")


def _reject(
    values: pl.Series,
    role: str,
    expected: str,
    position: int | None = None,
    rows: pl.Series | None = None,
    more: str = "",
) -> NoReturn:
    if position is None:
        position = int(values.is_not_null().arg_max() or 0)
    received = str(values.dtype)
    if len(values):
        row = position if rows is None else rows[position]
        received += f", {values.name}[{row}]={values[position]!r}"
    raise ValueError(f"`{role}` column {values.name!r} must hold {expected}. Received: {received}{more}")
