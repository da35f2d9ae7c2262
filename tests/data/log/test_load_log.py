"""Rows of a declared log: read from all files, in the declared roles, each count worked out apart."""

import datetime

import numpy as np
import polars as pl
import pytest
from support.made_up_log import DAYS, ZONE, rows_of_day, write_feed

from keras_smes.data import Log, Table, TimeColumn, load, load_log, split, split_with_statistics, store_log
from keras_smes.data.log import load_to_score, store_to_score
from keras_smes.data.split import hashed_fractions
from keras_smes.features.schema import FeatureSchema, Number
from keras_smes.tasks import BinaryTask


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    return write_feed(tmp_path_factory.mktemp("feed"))


@pytest.fixture(scope="module")
def rows(feed):
    return load(str(feed))


@pytest.fixture(scope="module")
def expected():
    """All rows in order of time, by Python: of datetimes in one zone it compares the clock on the wall."""
    whole = [row for day in DAYS for row in rows_of_day(day).iter_rows(named=True)]
    return sorted(whole, key=lambda row: row["ts"].timestamp())


def test_each_row_is_there_once_in_order_of_time(rows, expected):
    assert rows.counts["rows_read"] == 5 * 307
    assert rows.counts["duplicates"] == 5 * 7
    assert len(rows) == len(expected)
    for column in ("user_id", "item_id", "click", "dwell_ms"):
        assert rows.frame[column].to_list() == [row[column] for row in expected]
    assert rows.frame[rows.time].to_list() == [int(row["ts"].timestamp() * 1000) for row in expected]


def test_days_begin_in_the_declared_time_zone(rows, expected):
    assert rows.frame[rows.date].to_list() == [row["ts"].astimezone(ZONE).date() for row in expected]


def test_labels_and_side_tables_are_what_is_declared(rows, expected):
    labels = rows.labels()
    np.testing.assert_array_equal(labels["click"], [float(row["click"]) for row in expected])
    watched = np.array([row["watch_ms"] for row in expected], np.float32)
    np.testing.assert_allclose(labels["watch_seconds"], watched / 1000, rtol=1e-6)
    items = [row["item_id"] for row in expected]
    assert rows.counts["without_items"] == items.count(29)
    prices = rows.columns()["price"]
    np.testing.assert_array_equal(prices, [np.nan if item == 29 else item for item in items])


def test_the_last_days_test_and_statistics_are_of_earlier_days(rows, expected):
    parts = split_with_statistics(rows)
    assert parts.train.frame[rows.date].unique().sort().to_list() == DAYS[:3]
    assert parts.test.frame[rows.date].unique().sort().to_list() == DAYS[3:]
    seen = [row["item_id"] for row in expected if row["ts"].astimezone(ZONE).date() in DAYS[:3]]
    counts = parts.test.columns()["item_impressions"]
    items = parts.test.frame["item_id"].to_list()
    np.testing.assert_allclose(counts, [np.log1p(seen.count(item)) for item in items], rtol=1e-6)
    assert {"seen", "seen_length"} <= set(parts.test.columns())


def test_outcomes_are_never_features(feed):
    text = feed.read_text().replace(
        "{kind: number, name: price, log: true}", "{kind: number, name: dwell_ms}"
    )
    other = feed.with_name("leak.yaml")
    other.write_text(text)
    with pytest.raises(ValueError, match=r"`features` must be known when a row is ranked.*'dwell_ms'"):
        load(str(other))


@pytest.mark.parametrize(
    ("old", "new", "role"),
    [
        ("item: item_id, label: click", "item: item_id, label: klick", "histories"),
        ("columns: [item_id]", "columns: [shop_id]", "statistics"),
        ("unique: [user_id", "unique: [uid", "unique"),
        ("user: user_id", "user: uid", "user"),
        ("time: ts", "time: when", "time"),
        ("outcomes: [dwell_ms", "outcomes: [dwell", "outcome"),
        ("name: price, log", "name: cost, log", "features"),
    ],
)
def test_a_column_that_is_not_there_is_named_with_its_role(old, new, role, feed):
    text = feed.read_text()
    assert old in text
    other = feed.with_name(f"{role}.yaml")
    other.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=rf"`{role}` must name columns that are there. Received: \['\w+'\]"):
        load(str(other))


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("- click", "- clik", "click"),
        ("label: watch_ms", "label: wach_ms", "watch_ms"),
        ("name: price, log", "name: prise, log", "price"),
        ("user: user_id", "user: userid", "user_id"),
    ],
)
def test_a_misspelled_column_is_named_with_the_nearest(old, new, found, feed):
    other = feed.with_name("misspelled.yaml")
    other.write_text(feed.read_text().replace(old, new))
    with pytest.raises(ValueError, match=rf"Received: \['\w+'\], not in .*\. Did you mean '{found}'\?"):
        load(str(other))


def numbered(folder, count=1000, **columns):
    frame = pl.DataFrame({"x": np.arange(count) % 7, "click": np.arange(count) % 2, **columns})
    frame.write_parquet(folder / "rows.parquet")
    return ("rows.parquet",)


def test_rows_without_time_are_split_by_a_hash_of_their_place(tmp_path):
    files = numbered(tmp_path, 10_000, place=np.arange(10_000))
    log = Log("log", files, (BinaryTask("click"),), folder=tmp_path, split={"test_fraction": 0.1, "seed": 7})
    parts = split(load_log(log))
    test = parts.test.frame["place"].to_numpy()
    assert len(test) == pytest.approx(1000, abs=100)
    assert sorted([*test, *parts.train.frame["place"]]) == list(range(10_000))
    again = split(load_log(log)).test.frame["place"].to_numpy()
    np.testing.assert_array_equal(test, again)
    with pytest.raises(ValueError, match="split by days needs `time` or `date`"):
        load_log(Log("log", files, (BinaryTask("click"),), folder=tmp_path, split={"test_days": 2}))


def test_the_hash_is_splitmix64():
    """By Python's integers: the published constants, a stream that begins at the seed."""

    def unit(place, seed):
        mask = 2**64 - 1
        state = (place + 1 + seed * 2**32) * 0x9E3779B97F4A7C15 & mask
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & mask
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & mask
        return ((state ^ (state >> 31)) >> 11) / 2**53

    np.testing.assert_array_equal(hashed_fractions(50, 3), [unit(place, 3) for place in range(50)])
    assert abs(hashed_fractions(100_000, 1).mean() - 0.5) < 0.005


def test_files_may_be_the_test_rows(tmp_path):
    numbered(tmp_path)
    pl.DataFrame({"x": [1, 2], "click": [0, 1]}).write_parquet(tmp_path / "test.parquet")
    split_by = {"test_files": ("test.parquet",)}
    parts = split(
        load_log(Log("log", ("rows.parquet",), (BinaryTask("click"),), folder=tmp_path, split=split_by))
    )
    assert (len(parts.train), len(parts.test)) == (1000, 2)


def test_a_fraction_never_cuts_a_day(tmp_path):
    """Days of 100, 300, 500 and 100 rows: 10, 60 or 90 % of them can test, whichever is nearest."""
    hours = np.repeat([0, 24, 48, 72], [100, 300, 500, 100])
    files = numbered(tmp_path, 1000, seconds=1_793_500_800 + hours * 3600)
    for fraction, rows in ((0.1, 100), (0.3, 100), (0.4, 600), (0.95, 900)):
        log = Log(
            "log",
            files,
            (BinaryTask("click"),),
            folder=tmp_path,
            time=TimeColumn("seconds", "s"),
            split={"test_fraction": fraction},
        )
        assert len(split(load_log(log)).test) == rows


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000), ("us", 1_000_000)])
def test_times_have_the_declared_unit(unit, factor, tmp_path):
    files = numbered(tmp_path, when=(1_793_500_800 + 3600 * np.arange(1000)) * factor)
    rows = load_log(Log("log", files, (BinaryTask("click"),), folder=tmp_path, time=TimeColumn("when", unit)))
    assert rows.frame[rows.time][0] == 1_793_500_800_000
    assert rows.frame[rows.date][0] == datetime.date(2026, 11, 1)


def test_a_table_has_each_key_once(tmp_path):
    files = numbered(tmp_path)
    pl.DataFrame({"x": [1, 1], "price": [1.0, 2.0]}).write_parquet(tmp_path / "items.parquet")
    log = Log(
        "log", files, (BinaryTask("click"),), folder=tmp_path, tables=(Table(("items.parquet",), ("x",)),)
    )
    with pytest.raises(
        ValueError, match=r"items.parquet, row 1: must have each key \['x'\] once. Received: \(1,\) again"
    ):
        load_log(log)


def test_a_table_of_a_header_alone_is_named(tmp_path):
    files = numbered(tmp_path)
    (tmp_path / "items.csv").write_text("x,price\n")
    tables = (Table(("items.csv",), ("x",)),)
    for read in (load_log, lambda log: store_log(log, tmp_path / "cache")):
        with pytest.raises(ValueError, match=r"Table items.csv must have rows. Received: a header without"):
            read(Log("log", files, (BinaryTask("click"),), folder=tmp_path, tables=tables))
    (tmp_path / "rows.csv").write_text("x,click\n")
    with pytest.raises(ValueError, match=r"A log must have rows. Received: none in 1 files.*rows.csv"):
        load_log(Log("log", ("rows.csv",), (BinaryTask("click"),), folder=tmp_path, tables=tables))


def test_weights_are_those_of_the_column(tmp_path):
    files = numbered(tmp_path, w=np.arange(1000) / 10)
    log = Log("log", files, (BinaryTask("click"),), folder=tmp_path, weight="w")
    rows = load_log(log)
    np.testing.assert_allclose(rows.weights(), np.arange(1000, dtype="float32") / 10)
    assert "w" not in rows.schema.names
    numbered(tmp_path, w=[-1.0] * 1000)
    with pytest.raises(ValueError, match=r"`weight` column 'w' must hold finite numbers.*w\[0\]=-1.0"):
        load_log(log)


@pytest.mark.parametrize(("declared", "fits"), [("ms", "s"), ("s", "ms"), ("us", "s")])
def test_a_moment_in_another_unit_is_named(declared, fits, tmp_path):
    factor = {"s": 1, "ms": 1000, "us": 1_000_000}[fits]
    files = numbered(tmp_path, when=1_793_500_800 * factor + np.arange(1000))
    log = Log("log", files, (BinaryTask("click"),), folder=tmp_path, time=TimeColumn("when", declared))
    with pytest.raises(ValueError, match=rf"`time` column 'when' .*unit '{declared}'.* fits unit '{fits}'"):
        load_log(log)


def test_kinds_are_chosen_by_rows_that_training_takes(tmp_path):
    """`size` is constant, and `x` a code, but for rows that are skipped."""
    is_skipped = np.arange(1000) >= 900
    size, x = (
        np.where(is_skipped, np.arange(1000), 3),
        np.where(is_skipped, np.arange(1000), np.arange(1000) % 9),
    )
    files = numbered(tmp_path, size=size, skip=is_skipped, x=x)
    log = Log(
        "log",
        files,
        (BinaryTask("click"),),
        folder=tmp_path,
        skip_training="skip",
        split={"test_fraction": 0.1},
    )
    for rows in (load_log(log), store_log(log, tmp_path / "cache")):
        assert [(own.name, own.kind) for own in rows.schema.features] == [("x", "integer_category")]


@pytest.mark.parametrize("marks", [["yes", "no"], [0, 7]])
def test_marks_of_another_kind_are_named(marks, tmp_path):
    files = numbered(tmp_path, skip=marks * 500)
    log = Log("log", files, (BinaryTask("click"),), folder=tmp_path, skip_training="skip")
    for read in (load_log, lambda log: store_log(log, tmp_path / "cache")):
        with pytest.raises(ValueError, match="`skip_training` column 'skip' must hold 0 or 1"):
            read(log)


def test_rows_of_another_model_are_named(tmp_path):
    files = numbered(tmp_path)
    schema = FeatureSchema((Number("price"), Number("age")))
    log = Log("log", files, (BinaryTask("click"),), folder=tmp_path)
    for read in (load_to_score, lambda log, schema: store_to_score(log, schema, tmp_path / "cache")):
        with pytest.raises(
            ValueError, match=r"features of the model, \['price', 'age'\]. Received: columns=\['x'"
        ):
            read(log, schema)
