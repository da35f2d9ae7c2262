"""Describes files without a declaration: what each column holds, and its possible role."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from keras_smes.data.files.reader import FILE, days_of_digits, list_files, read_files

ROWS = 1_000_000  # looked at, at most
LEAK = 0.99  # AUC from which on a single column is suspected to be known only afterwards
FEWEST = 50  # rows from which on an AUC says something
_USER = re.compile(r"^(user|uid|member|visitor|customer)(_?id)?$", re.IGNORECASE)
_TIME = re.compile(r"(^ts$|time|stamp)", re.IGNORECASE)
_DAY = re.compile(r"(^|_)(date|day|dt)($|_)", re.IGNORECASE)
_LABEL = re.compile(
    r"(^|_|\W)(click|clicked|like|liked|follow|comment|share|forward|buy|bought|purchase|order|cart|conversion|"
    r"convert|converted|install|view|play|finish|label|target|rating|hate|collect|favorite)(s|ed)?($|_|\W)",
    re.IGNORECASE,
)
_AFTERWARDS = re.compile(
    r"(^|_)(play|watch|dwell|stay|view|finish|enter)(ed|ing)?(_?(time|ms|s|sec|seconds|duration|rate|ratio))*$",
    re.IGNORECASE,
)
_REQUEST = re.compile(
    r"^(request|session|search|query|page_?view|impression)(_?(id|uuid|key))?$", re.IGNORECASE
)
_WEIGHT = re.compile(r"(^|_)(weight|propensity)$", re.IGNORECASE)
_YES = ("yes", "y", "true", "t", "1")
_UNITS = {"s": 1, "ms": 1e3, "us": 1e6}
_YEARS = (946_684_800, 4_102_444_800)  # 2000 to 2100, in seconds


@dataclasses.dataclass(frozen=True)
class ColumnFacts:
    """What a column holds.

    Args:
        dtype: Its type.
        nulls: Share of nulls.
        distinct: How many values differ.
        once: Share of the values that stand in one row only.
        same_as: An earlier column that is equal in every row. Defaults to `None`.
        no_numbers: Of text that is mostly numbers, up to three values that are none. Defaults to `()`.
    """

    dtype: str
    nulls: float
    distinct: int
    once: float
    same_as: str | None = None
    no_numbers: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Description:
    """What was seen of a log, and the roles that were guessed.

    Args:
        files: How many.
        rows: Rows looked at.
        columns: Facts by column.
        user: Guessed; `None` if none was found.
        time: Guessed, with its unit; `None` if none was found.
        date: Guessed; `None` if none was found.
        labels: Binary columns that may be labels, each with its rate.
        leaks: Columns that alone predict a label, each with the label and the AUC.
        afterwards: Columns named as what is known only after the impression, such as `play_time_ms`.
        rates: Rate of each label by day, where there are days.
        missing_days: Days without rows, of those between the first and the last.
        is_sorted: Whether rows are in order of time.
        time_zone: That of the column of the moment. Defaults to `"UTC"`.
        request: Guessed; `None`, the default, if none was found.
        weight: Guessed; `None`, the default, if none was found.
        positive: Of columns of two texts, the one that is 1 as a label: that says yes, or the rarer one.
    """

    files: int
    rows: int
    columns: Mapping[str, ColumnFacts]
    user: str | None
    time: tuple[str, str] | None
    date: str | None
    labels: Mapping[str, float]
    leaks: Mapping[str, tuple[str, float]]
    afterwards: Sequence[str]
    rates: Mapping[str, Mapping[str, float]]
    missing_days: Sequence[str]
    is_sorted: bool
    time_zone: str = "UTC"
    request: str | None = None
    weight: str | None = None
    positive: Mapping[str, str] = dataclasses.field(default_factory=dict)


def describe(paths: Sequence[str], folder: str | Path = ".", limit: int = ROWS) -> Description:
    """Describes a bounded number of rows of files.

    Args:
        paths: Paths, globs and folders.
        folder: What relative paths start from. Defaults to the working folder.
        limit: Rows to look at, the same number of each file. Defaults to a million.

    Returns:
        A `Description`, from which `draft` writes the YAML of a log.

    Raises:
        FileNotFoundError, ValueError: As `load_log`; or no rows.

    Example:

    >>> data.frame.write_csv(folder / "log.csv")
    >>> description = describe(["log.csv"], folder)
    >>> description.rows, description.user
    (500, 'user_id')
    """
    files = list_files(paths, Path(folder))
    frame = read_files(files, max(1, limit // len(files))).drop(FILE)
    if frame.is_empty():
        raise ValueError(f"`files` must have rows. Received: none in {list(paths)}")
    time, roles = _time(frame), _roles(frame)
    taken = {*roles.values(), None if time is None else time[0]}
    facts, positive = _facts(frame), _positive(frame)
    frame = frame.with_columns(
        pl.col(name) == value for name, value in positive.items() if _LABEL.search(name)
    )
    labels = _labels(frame, taken)
    days = _days(frame, time, roles["date"])
    return Description(
        files=len(files),
        rows=frame.height,
        columns=facts,
        time=time,
        labels=labels,
        leaks=_leaks(frame, labels, taken),
        afterwards=[name for name in frame.columns if name not in labels and _AFTERWARDS.search(name)],
        rates={} if days is None else _rates(frame, days, list(labels)),
        missing_days=[] if days is None else _gaps(days),
        is_sorted=time is None or bool(frame[time[0]].is_sorted()),
        time_zone=_zone(frame, time),
        positive=positive,
        **roles,
    )


def _roles(frame: pl.DataFrame) -> dict[str, str | None]:
    """Guesses the columns of roles that are one column each."""
    return {
        "user": _first(frame, lambda values: bool(_USER.match(values.name)) and not values.dtype.is_float()),
        "date": _first(frame, lambda values: values.dtype == pl.Date) or _first(frame, _are_digits_of_days),
        "request": _first(frame, lambda values: bool(_REQUEST.match(values.name)) and not _is_binary(values)),
        "weight": _first(frame, _is_weight),
    }


def _first(frame: pl.DataFrame, fits: Any) -> str | None:
    return next((name for name in frame.columns if fits(frame[name])), None)


def _are_digits_of_days(values: pl.Series) -> bool:
    return bool(_DAY.search(values.name)) and days_of_digits(values) is not None


def _time(frame: pl.DataFrame) -> tuple[str, str] | None:
    """The column of the moment: a timestamp, else a number named so that is one in some unit."""
    stamp = _first(frame, lambda values: isinstance(values.dtype, pl.Datetime))
    if stamp is not None:
        return stamp, "ms"
    for name in frame.columns:
        values = frame[name].drop_nulls()
        if _TIME.search(name) and values.dtype.is_integer() and len(values):
            first, last = (float(value) for value in (values.min(), values.max()))  # type: ignore[arg-type]
            for unit, per_second in _UNITS.items():
                if _YEARS[0] * per_second <= first <= last <= _YEARS[1] * per_second:
                    return name, unit
    return None


def _zone(frame: pl.DataFrame, time: tuple[str, str] | None) -> str:
    dtype = None if time is None else frame[time[0]].dtype
    return (dtype.time_zone or "UTC") if isinstance(dtype, pl.Datetime) else "UTC"


def _is_weight(values: pl.Series) -> bool:
    return bool(_WEIGHT.search(values.name)) and values.dtype.is_float() and not (values < 0).any()


def _positive(frame: pl.DataFrame) -> dict[str, str]:
    """Of each column of two texts the one that says yes, or else the rarer one."""
    found = {}
    for name in frame.columns:
        if frame[name].dtype != pl.String or frame[name].drop_nulls().n_unique() != 2:
            continue
        counted = frame[name].drop_nulls().value_counts().sort("count", name)
        texts = counted[name].to_list()
        found[name] = next((text for text in texts if text.lower() in _YES), texts[0])
    return found


def _labels(frame: pl.DataFrame, taken: set[str | None]) -> dict[str, float]:
    """Columns of 0 and 1 that are named as feedback is; where none is, all but the most frequent ones."""
    rates = {}
    for name in frame.columns:
        values = frame[name].drop_nulls()
        if name not in taken and _is_binary(values):
            rates[name] = float(values.cast(pl.Float64).mean())  # type: ignore[arg-type]
    return {name: rate for name, rate in rates.items() if _LABEL.search(name)} or {
        name: rate for name, rate in rates.items() if rate < 0.5
    }


def _is_binary(values: pl.Series) -> bool:
    if values.dtype != pl.Boolean and not (
        values.dtype.is_numeric() and ((values == 0) | (values == 1)).all()
    ):
        return False
    return values.n_unique() == 2


def _facts(frame: pl.DataFrame) -> dict[str, ColumnFacts]:
    facts: dict[str, ColumnFacts] = {}
    for place, name in enumerate(frame.columns):
        values = frame[name]
        flat = values.explode() if isinstance(values.dtype, (pl.List, pl.Array)) else values
        counts = flat.drop_nulls().value_counts()["count"]
        twin = next((other for other in frame.columns[:place] if _equal(frame[other], values)), None)
        nulls, once = values.null_count() / frame.height, float((counts == 1).sum()) / max(1, len(counts))
        odd = _no_numbers(values)
        facts[name] = ColumnFacts(str(values.dtype), nulls, len(counts), once, twin, odd)
    return facts


def _no_numbers(values: pl.Series) -> list[str]:
    if values.dtype != pl.String:
        return []
    texts = values.drop_nulls().unique().sort()
    odd = texts.filter(texts.cast(pl.Float64, strict=False).is_null()).to_list()
    return odd if len(odd) <= min(3, len(texts) / 2) else []


def _equal(one: pl.Series, other: pl.Series) -> bool:
    return (
        one.dtype == other.dtype and one.n_unique() > 1 and one.equals(other.alias(one.name), null_equal=True)
    )


def _days(frame: pl.DataFrame, time: tuple[str, str] | None, date: str | None) -> pl.Series | None:
    if date is not None:
        return frame[date] if frame[date].dtype == pl.Date else days_of_digits(frame[date])
    if time is None:
        return None
    values = frame[time[0]]
    return (values if isinstance(values.dtype, pl.Datetime) else _from_epoch(values, time[1])).dt.date()


def _from_epoch(values: pl.Series, unit: str) -> pl.Series:
    return pl.select(pl.from_epoch(values, time_unit=unit)).to_series()  # type: ignore[call-overload]


def _rates(frame: pl.DataFrame, days: pl.Series, labels: list[str]) -> dict[str, dict[str, float]]:
    means = [pl.col(name).cast(pl.Float64).mean() for name in labels]
    by_day = frame.with_columns(days.alias("__day")).group_by("__day").agg(means).sort("__day")
    return {
        name: {str(day): rate for day, rate in by_day.select("__day", name).iter_rows()} for name in labels
    }


def _gaps(days: pl.Series) -> list[str]:
    present = days.drop_nulls().unique()
    if present.is_empty():
        return []
    first, last = present.min(), present.max()
    between = pl.Series(pl.date_range(first, last, eager=True))  # type: ignore[arg-type]
    there = set(present.to_list())
    return [str(day) for day in between.to_list() if day not in there]


def _leaks(frame: pl.DataFrame, labels: Mapping[str, float], taken: set[str | None]) -> dict[str, Any]:
    """Columns that alone tell a label: by their values, or by where they are null."""
    leaks: dict[str, tuple[str, float]] = {}
    for name in frame.columns:
        if name in taken or name in labels or frame[name].dtype.is_nested():
            continue
        for label in labels:
            pair = frame.select(pl.col(name), pl.col(label).cast(pl.Float64).alias("__label"))
            area = _area(pair, name)
            if pair[name].null_count():
                area = max(area, _area(pair.with_columns(pl.col(name).is_null()), name))
            if area > leaks.get(name, ("", LEAK))[1]:
                leaks[name] = (label, area)
    return leaks


def _area(pair: pl.DataFrame, name: str) -> float:
    """The AUC of a column: of its numbers, or of each value's rate in the other half of the rows."""
    pair = pair.drop_nulls()
    if pair.height < FEWEST:
        return 0.5
    if not pair[name].dtype.is_numeric():
        halves = pair.with_columns((pl.int_range(pl.len()) % 2 == 0).alias("__half"))
        rates = halves.filter("__half").group_by(name).agg(pl.col("__label").mean().alias("__rate"))
        pair = halves.filter(~pl.col("__half")).join(rates, on=name, how="left")
        pair = pair.with_columns(pl.col("__rate").fill_null(pair["__label"].mean()).alias(name))
    ranks = pair[name].cast(pl.Float64).rank("average")
    positive = pair["__label"] == 1
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return 0.5
    area = (float(ranks.filter(positive).sum()) - ones * (ones + 1) / 2) / (ones * zeros)
    return max(area, 1 - area)
