"""The moment and the day of a log's rows, from columns of several types and units."""

import datetime
import math

import polars as pl

from keras_smes.data.column_types import as_dates, as_times
from keras_smes.data.files.reader import days_of_digits
from keras_smes.data.log.checks import check_there
from keras_smes.data.log.declaration import UNITS, Log, TimeColumn

TIME, DATE = "__time", "__date"
_YEARS = (315_532_800, 4_102_444_800)  # 1980 to 2100, in seconds since 1970


def with_time(frame: pl.DataFrame, log: Log) -> pl.DataFrame:
    """Returns rows with `TIME` and `DATE`; as they are where there is neither."""
    check_there(frame.columns, "time", [log.time.column] if log.time else [])
    check_there(frame.columns, "date", [log.date] if log.date else [])
    days = None if log.date is None else _days(frame[log.date], log.time_zone)
    if log.time is not None:
        times = _moments(frame[log.time.column], log.time)
    elif days is not None:
        noons = days.cast(pl.Datetime("ms")) + datetime.timedelta(hours=12)  # there in every time zone
        times = noons.dt.replace_time_zone(log.time_zone).dt.epoch("ms")
    else:
        return frame
    if days is None:
        moments = pl.from_epoch(times, time_unit="ms").dt.replace_time_zone("UTC")
        days = moments.dt.convert_time_zone(log.time_zone).dt.date()
    return frame.with_columns(times.alias(TIME), days.alias(DATE))


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
