"""Columns of every type that a log may have: the same rows come out, or the column is named."""

import datetime
import decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from keras_smes.data import Interactions, split
from keras_smes.data.column_types import as_day, as_times
from keras_smes.data.past.histories import with_histories
from keras_smes.data.past.statistics import split_with_statistics, with_statistics
from keras_smes.data.past.stored import split_with_past
from keras_smes.data.roles import History, KeyGroup, SplitDates
from keras_smes.data.store.interactions import StoredInteractions
from keras_smes.data.store.part import Part
from keras_smes.features.schema import FeatureSchema, IntegerCategory, Number, StringCategory, Tags

UTC = datetime.UTC
HOURS = 240
START = datetime.datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = [START + datetime.timedelta(hours=hour) for hour in range(HOURS)]
# Worked out by Python's own clock, not by polars.
MS = [int(moment.timestamp()) * 1000 for moment in MOMENTS]


def log(**columns: object) -> pl.DataFrame:
    """Ten days of a row an hour; columns given replace those of the same name."""
    rows = range(HOURS)
    frame = {
        "user": [row % 5 for row in rows],
        "item": [row % 7 for row in rows],
        "click": [row % 2 for row in rows],
        "ms": MS,
        "day": [moment.date() for moment in MOMENTS],
    }
    return pl.DataFrame({**frame, **columns})


def interactions(frame: pl.DataFrame, time_zone: str = "UTC", **changes: object) -> Interactions:
    schema = FeatureSchema((IntegerCategory("item"),))
    options = {
        "user": "user",
        "time": "ms",
        "date": "day",
        "tasks": ("click",),
        "schema": schema,
        "counts": {},
        "statistics": (KeyGroup("item", ("item",)),),
        "histories": (History("last", item="item", label="click", length=3),),
        **changes,
    }
    return Interactions("mine", frame, time_zone=time_zone, **options)


def naive() -> list[datetime.datetime]:
    return [moment.replace(tzinfo=None) for moment in MOMENTS]


WAYS = {
    "a timestamp as date": {"day": naive()},
    "a timestamp with a zone as date": {"day": pl.Series(MOMENTS, dtype=pl.Datetime("ns", "UTC"))},
    "a timestamp as time": {"ms": naive()},
    "nanoseconds as time": {"ms": pl.Series(naive(), dtype=pl.Datetime("ns"))},
    "a timestamp with a zone as time": {
        "ms": pl.Series(MOMENTS, dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone("America/New_York")
    },
    "unsigned time": {"ms": pl.Series(MS, dtype=pl.UInt64)},
    "whole floats as time": {"ms": pl.Series(MS, dtype=pl.Float64)},
    "whole floats as ids": {
        "item": [float(row % 7) for row in range(HOURS)],
        "user": [float(row % 5) for row in range(HOURS)],
    },
    "whole decimals as ids": {"item": [decimal.Decimal(row % 7) for row in range(HOURS)]},
    "booleans as labels": {"click": [row % 2 == 1 for row in range(HOURS)]},
}


def assert_same(one: Interactions, other: Interactions) -> None:
    for name, values in one.columns().items():
        np.testing.assert_array_equal(values, other.columns()[name])
    np.testing.assert_array_equal(one.user_ids(), other.user_ids())
    np.testing.assert_array_equal(one.labels()["click"], other.labels()["click"])


@pytest.mark.parametrize("way", WAYS)
def test_one_log_in_many_types_is_one_log(way: str) -> None:
    made, expected = interactions(log(**WAYS[way])), interactions(log())
    assert made.frame["ms"].dtype == pl.Int64
    assert made.frame["ms"].to_list() == MS
    assert made.frame["day"].to_list() == [moment.date() for moment in MOMENTS]
    parts = split_with_statistics(made, train_until=datetime.date(2026, 1, 7))
    assert (len(parts.train), len(parts.test)) == (7 * 24, 3 * 24)
    of_expected = split_with_statistics(expected, train_until=datetime.date(2026, 1, 7))
    assert_same(parts.train, of_expected.train)
    assert_same(parts.test, of_expected.test)


@pytest.mark.parametrize("way", WAYS)
def test_stored_rows_are_in_normal_form_too(way: str, tmp_path: Path) -> None:
    frame = log(**WAYS[way])
    (tmp_path / "rows").mkdir()
    parts = []
    for number, rows in enumerate((frame[:100], frame[100:])):
        rows.write_parquet(tmp_path / "rows" / f"{number}.parquet")
        days = rows["day"].dt.date() if isinstance(rows["day"].dtype, pl.Datetime) else rows["day"]
        parts.append(Part(f"{number}.parquet", dict(days.value_counts().rows())))
    stored = StoredInteractions(interactions(frame.clear()), tmp_path, tuple(parts))
    cut = split_with_past(stored, train_until=datetime.date(2026, 1, 7), verbose=0)
    expected = split_with_statistics(interactions(log()), train_until=datetime.date(2026, 1, 7))
    assert_same(cut.train.read(), expected.train)
    assert_same(cut.test.read(), expected.test)


def test_a_day_begins_where_the_time_zone_says() -> None:
    moments = pl.Series(MOMENTS, dtype=pl.Datetime("ms", "UTC"))
    made = interactions(log(day=moments), time_zone="Asia/Shanghai")
    eight = datetime.timedelta(hours=8)
    assert made.frame["day"].to_list() == [(moment + eight).date() for moment in MOMENTS]


def test_times_before_1970_go_down_to_the_millisecond() -> None:
    times = pl.Series("t", [datetime.datetime(1969, 12, 31, 23, 59, 59, 999_500)])
    assert as_times(times).to_list() == [-1]


SEVEN_AND_A_HALF = [6.0, 7.5, *[1.0] * (HOURS - 2)]
REJECTED = {
    "null dates": ({"day": [None, *log()["day"][1:]]}, r"`date` column 'day'.*day\[0\]=None, one of 1"),
    "text as date": (
        {"day": log()["day"].cast(pl.String)},
        r"'day' must hold dates.*to_date\(\).*'2026-01-01'",
    ),
    "numbers as date": (
        {"day": [20260101] * HOURS},
        r"`date` column 'day' must hold dates.*Int64.*=20260101",
    ),
    "null times": ({"ms": [*MS[:-1], None]}, r"`time` column 'ms' must hold a moment.*ms\[239\]=None"),
    "text as time": (
        {"ms": [str(value) for value in MS]},
        r"`time` column 'ms'.*String, ms\[0\]='1767225600000'",
    ),
    "fractional times": ({"ms": [value + 0.5 for value in MS]}, r"'ms' must hold whole milliseconds"),
    "days as time": ({"ms": log()["day"]}, r"`time` column 'ms' must hold whole milliseconds.*Date"),
    "seconds": ({"ms": [value // 1000 for value in MS]}, r"'ms' must hold milliseconds.*fits seconds.*='s'"),
    "microseconds": ({"ms": [value * 1000 for value in MS]}, r"fits microseconds.*time_unit='us'"),
    "nanoseconds": ({"ms": [value * 10**6 for value in MS]}, r"fits nanoseconds.*time_unit='ns'"),
    "other days": ({"ms": list(range(HOURS))}, r"'ms' must be of about the days of `date` column 'day'"),
    "fractional items": (
        {"item": SEVEN_AND_A_HALF},
        r"`integer_category` column 'item'.*item\[1\]=7.5, one of 1",
    ),
    "NaN items": ({"item": [1.0, float("nan")] * 120}, r"'item'.*item\[1\]=nan, one of 120"),
    "infinite items": ({"item": [float("inf")] * HOURS}, r"'item'.*item\[0\]=inf"),
    "items that floats merge": ({"item": [2.0**53] * HOURS}, r"'item' must hold integers within int64"),
    "items beyond int64": ({"item": pl.Series([2**63] * HOURS, dtype=pl.UInt64)}, r"UInt64, item\[0\]=92233"),
    "text as items": (
        {"item": ["7"] * HOURS},
        r"'item' must hold integers within int64.*String, item\[0\]='7'",
    ),
    "timestamps as items": ({"item": naive()}, r"'item' must hold integers within int64. Received: Datetime"),
    "fractional users": (
        {"user": SEVEN_AND_A_HALF},
        r"`user` column 'user' must hold integers or strings.*=7.5",
    ),
    "lists of users": ({"user": [[1]] * HOURS}, r"`user` column 'user' must hold integers or strings"),
    "text as label": (
        {"click": ["yes"] * HOURS},
        r"`label` column 'click' must hold numbers or booleans.*'yes'",
    ),
    "durations as label": ({"click": [datetime.timedelta(1)] * HOURS}, r"`label` column 'click'.*Duration"),
}


@pytest.mark.parametrize("what", REJECTED)
def test_what_can_not_be_read_is_rejected_by_name(what: str) -> None:
    columns, message = REJECTED[what]
    with pytest.raises(ValueError, match=message):
        interactions(log(**columns))


@pytest.mark.parametrize(
    ("feature", "values", "message"),
    [
        (Number("x"), ["3"] * HOURS, r"`number` column 'x' must hold numbers.*x\[0\]='3'"),
        (Number("x"), naive(), r"`number` column 'x' must hold numbers"),
        (StringCategory("x"), [["a"]] * HOURS, r"`string_category` column 'x' must hold strings"),
        (Tags("x"), [[], [1.0, 6.5], *[[2.0]] * (HOURS - 2)], r"`tags` column 'x'.*x\[1\]=6.5, one of 1"),
        (Tags("x"), [1] * HOURS, r"`tags` column 'x' must hold lists. Received: Int64, x\[0\]=1"),
    ],
)
def test_a_feature_has_the_type_that_it_declares(feature: object, values: list, message: str) -> None:
    schema = FeatureSchema((IntegerCategory("item"), feature))
    with pytest.raises(ValueError, match=message):
        interactions(log(x=pl.Series(values, strict=False)), schema=schema)


def test_lists_of_whole_floats_and_arrays_are_lists_of_integers() -> None:
    schema = FeatureSchema((IntegerCategory("item"), Tags("x", max_length=2)))
    for dtype in (pl.List(pl.Float64), pl.Array(pl.Int32, 2)):
        made = interactions(log(x=pl.Series([[3, 4]] * HOURS, dtype=dtype)), schema=schema)
        assert made.columns()["x"][0].tolist() == [3, 4]


def test_time_and_date_need_a_column_each() -> None:
    with pytest.raises(ValueError, match=r"`date` must be another column than `time`.*date='ms'"):
        interactions(log(ms=naive()), date="ms")


@pytest.mark.parametrize("frame", [log().lazy(), log().to_dict(as_series=False), None])
def test_rows_are_a_data_frame_of_polars(frame: object) -> None:
    with pytest.raises(ValueError, match=r"`frame` must be a polars.DataFrame. Received: <class"):
        interactions(frame)


def test_an_unknown_time_zone_is_named() -> None:
    with pytest.raises(ValueError, match=r"`time_zone` must name a time zone.*time_zone='Mars/Olympus'"):
        interactions(log(), time_zone="Mars/Olympus")


def test_a_log_without_a_past_may_have_any_clock() -> None:
    made = interactions(log(ms=list(range(HOURS))), statistics=(), histories=())
    assert len(split(made, train_until=datetime.date(2026, 1, 7)).train) == 168
    with pytest.raises(ValueError, match="for what is computed from earlier days"):
        with_statistics(made, keys=(KeyGroup("item", ("item",)),))


def test_a_row_of_unknown_user_has_no_history_and_is_in_none() -> None:
    unknown = [None if row % 3 == 0 else row % 5 for row in range(HOURS)]
    made = interactions(log(user=unknown), statistics=())
    lists = with_histories(made).frame
    assert lists.filter(pl.col("user").is_null())["last"].list.len().max() == 0
    # By hand: the last three clicks of user 1 before 2026-01-10 are at hours 191, 196 (no click), ...
    clicks = [row for row in range(216) if unknown[row] == 1 and row % 2]
    day = pl.col("day") == datetime.date(2026, 1, 10)
    found = lists.filter(day, pl.col("user") == 1)["last"][0].to_list()
    assert found == [row % 7 for row in clicks[-3:]]


def test_dates_of_a_split_may_be_timestamps() -> None:
    noon = datetime.datetime(2026, 1, 7, 12)
    made = interactions(log())
    for cut in (
        split(made, train_until=noon),
        split(made, test_from=noon + datetime.timedelta(days=1)),
        split(interactions(log(), split_dates=SplitDates(noon, noon + datetime.timedelta(days=1)))),
    ):
        assert (len(cut.train), len(cut.test)) == (168, 72)
    assert len(made.between(noon, noon)) == 24
    frozen = with_statistics(made, frozen_from=noon).frame
    assert frozen.equals(with_statistics(made, frozen_from=noon.date()).frame)


@pytest.mark.parametrize("value", ["2026-01-07", 20260107, START])
def test_what_is_no_date_is_rejected(value: object) -> None:
    with pytest.raises(ValueError, match=r"`train_until` must be .* Received: train_until="):
        as_day("train_until", value)
    with pytest.raises(ValueError, match=r"`train_until` must be a datetime.date"):
        split(interactions(log()), train_until=value)


@pytest.mark.parametrize("what", ["fractional items", "text as items", "seconds", "null times", "null dates"])
def test_what_can_not_be_read_of_stored_rows_is_rejected_by_file_too(what: str, tmp_path: Path) -> None:
    frame = log(**REJECTED[what][0])
    (tmp_path / "rows").mkdir()
    frame.write_parquet(tmp_path / "rows" / "part-7.parquet")
    part = Part("part-7.parquet", dict(log()["day"].value_counts().rows()))
    roles = interactions(log().clear(), statistics=(), histories=())
    stored = StoredInteractions(roles, tmp_path, (part,))
    with pytest.raises(ValueError, match=r"part-7\.parquet: `\w+` column '(item|ms|day)' must"):
        stored.read()
    for_past = StoredInteractions(interactions(log().clear()), tmp_path, (part,))
    with pytest.raises(ValueError, match=r"part-7\.parquet: `\w+` column '(item|ms|day)' must"):
        split_with_past(for_past, train_until=datetime.date(2026, 1, 7), verbose=0)


def test_a_stored_row_without_a_date_is_rejected_and_not_lost(tmp_path: Path) -> None:
    frame = log(day=[*log()["day"][:-1], None])
    (tmp_path / "rows").mkdir()
    frame.write_parquet(tmp_path / "rows" / "0.parquet")
    part = Part("0.parquet", dict(log()["day"].value_counts().rows()))
    stored = StoredInteractions(interactions(frame.clear()), tmp_path, (part,))
    with pytest.raises(ValueError, match=r"`date` column 'day' must hold a date in each row"):
        stored.between(datetime.date(2026, 1, 8)).read()
    with pytest.raises(ValueError, match=r"`date` column 'day' must hold a date in each row"):
        split_with_past(stored, train_until=datetime.date(2026, 1, 7), verbose=0)
