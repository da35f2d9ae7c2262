"""A declared log on disk: the rows, counts, features and splits of `load_log`, whatever the steps' sizes."""

import dataclasses
from collections import Counter

import duckdb
import numpy as np
import polars as pl
import pytest
from support.made_up_log import DAYS, rows_of_day, write_feed

from keras_smes.data import (
    Interactions,
    Log,
    StoredInteractions,
    Table,
    TimeColumn,
    load_log,
    load_rows,
    split,
    split_with_past,
    split_with_statistics,
)
from keras_smes.data.log import store
from keras_smes.data.log.store import store_log
from keras_smes.data.split_config import SplitConfig
from keras_smes.features.schema import Number
from keras_smes.tasks import BinaryTask


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    monkeypatch.setattr(store, "CHUNK_ROWS", 130)


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    return Log.read(write_feed(tmp_path_factory.mktemp("feed")))


def days_of(loaded):
    return None if loaded.date is None else dict(sorted(Counter(loaded.frame[loaded.date]).items()))


def assert_same(log, cache, part_rows=400):
    """Holds stored rows against those in memory, whole and cut."""
    stored, loaded = store_log(log, cache, part_rows), load_log(log)
    read = stored.read()
    assert read.frame.equals(loaded.frame)
    assert read.frame.schema == loaded.frame.schema
    for field in dataclasses.fields(loaded):
        if field.name != "frame":
            assert getattr(read, field.name) == getattr(loaded, field.name), field.name
    assert stored.days() == loaded.days() == days_of(loaded)
    parts, expected = stored.split(), split(loaded)
    assert parts.train.read().frame.equals(expected.train.frame)
    assert parts.test.read().frame.equals(expected.test.frame)
    assert (len(parts.train), len(parts.test)) == (len(expected.train), len(expected.test))
    return stored


def test_the_feed_on_disk_is_the_feed_in_memory(feed, tmp_path):
    stored = assert_same(feed, tmp_path)
    assert len(stored.parts) == 4
    assert stored.roles.counts["duplicates"] == 5 * 7
    assert [path.name for path in tmp_path.iterdir()] == [stored.folder.name]
    assert {path.name for path in stored.folder.iterdir()} == {"rows", "manifest.json"}


def test_statistics_and_histories_are_those_in_memory(feed, tmp_path):
    parts = split_with_past(store_log(feed, tmp_path, 400), verbose=0)
    expected = split_with_statistics(load_log(feed))
    assert parts.train.read().frame.equals(expected.train.frame)
    assert parts.test.read().frame.equals(expected.test.frame)


@pytest.mark.parametrize(
    "which", [slice(0, 100), slice(100, 250), slice(199, 200), slice(0, 900), slice(700, 990)]
)
def test_some_rows_are_those_in_memory(which, feed, tmp_path):
    stored = store_log(feed, tmp_path, 100)
    for days in ((None, None), (DAYS[1], DAYS[3])):
        expected = load_log(feed).between(*days).frame[which]
        assert stored.between(*days).take(which).frame.equals(expected)


CENSUS = """
name: census
files: census-income-train.parquet
tasks:
- {kind: binary, name: income, label: income_50k, positive: ["50000+."]}
- {kind: binary, name: never_married, label: marital_stat, positive: ["Never married"]}
ignore: [instance_weight]
features: auto
split: {test_fraction: 0.1, by: hash, seed: 7}
"""


def test_census_income_on_disk_is_that_in_memory(kuairand_folder, tmp_path):
    folder = kuairand_folder.parent / "census-income"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    path = tmp_path / "census.yaml"
    path.write_text(CENSUS, encoding="utf-8")
    assert_same(dataclasses.replace(Log.read(path), folder=folder), tmp_path, 50_000)


def test_load_rows_picks_by_size(feed, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_SMES_CACHE", str(tmp_path))
    path = feed.folder / "small.yaml"
    for memory, kind, number in (("2GB", Interactions, 2 * 10**9), ("10KB", StoredInteractions, 10**4)):
        text = (feed.folder / "feed.yaml").read_text(encoding="utf-8")
        path.write_text(text.replace("memory: 2GB", f"memory: {memory}"), encoding="utf-8")
        rows = load_rows(str(path))
        assert isinstance(rows, kind)
        assert len(rows) == 5 * 300
        assert rows.memory == number


def test_statistics_take_half_of_the_memory_of_a_log(feed, monkeypatch):
    limits, connect = [], duckdb.connect

    def noted(config):
        limits.append(config["memory_limit"])
        return connect(config=config)

    monkeypatch.setattr(duckdb, "connect", noted)
    rows = dataclasses.replace(load_log(feed), memory=10**9)
    with_past = split_with_statistics(rows)
    assert len(limits) > 1
    assert set(limits) == {f"{10**9 // 2}B"}
    assert with_past.test.frame.equals(split_with_statistics(load_log(feed)).test.frame)


# --- text, types, splits


LAST = SplitConfig(test_days=2)


def write_text(folder, name, rows):
    header = "user,code,when,score,click,flag,tag"
    (folder / name).write_bytes("\r\n".join([header, *rows, ""]).encode("utf-8-sig"))


@pytest.mark.parametrize("late", ["7", "x7", "1.5", "18446744073709551616", "007", ""])
def test_text_is_typed_by_all_of_its_values(late, tmp_path):
    """The last value of the last file decides, far behind the first rows."""
    rows = [f"{n},{n:03d},2026-11-{1 + n // 100:02d}T10:00:00Z,0.{n},{n % 2},true,{n}" for n in range(500)]
    write_text(tmp_path, "a.csv", rows[:300])
    write_text(tmp_path, "b.csv", [*rows[300:], f"9,,2026-11-09T00:00:00Z,,1,FALSE,{late}"])
    log = Log("csv", ("*.csv",), (BinaryTask("click"),), folder=tmp_path, user="user",
              time=TimeColumn("when"), features=(Number("score"),), split=LAST)  # fmt: skip
    stored = assert_same(log, tmp_path / "cache", 200)
    assert stored.read().frame["code"].dtype == pl.String


COUNT = 1000
ROWS = pl.DataFrame(
    {
        "place": np.arange(COUNT),
        "x": np.arange(COUNT) % 7,
        "word": pl.Series([("a", "b", None)[n % 3] for n in range(COUNT)], dtype=pl.Categorical),
        "empty": pl.Series([None] * COUNT),
        "at": pl.Series((np.arange(COUNT) * 7919 % 86_400) * 1000 + 1_793_500_800_000).cast(
            pl.Datetime("ms")
        ),
        "click": np.arange(COUNT) % 2,
    }
)
SPLITS = {
    "hash": {"split": SplitConfig(test_fraction=0.1, by="hash", seed=3)},
    "folds": {"split": SplitConfig(test_fraction=0.2, by="hash", fold=1, left_out=(0,))},
    "usual": {},
    "files": {"split": SplitConfig(test_files=("test.parquet",))},
    "within the only day": {"time": TimeColumn("at"), "split": SplitConfig(test_fraction=0.3)},
    "hash in time": {"time": TimeColumn("at"), "split": SplitConfig(test_fraction=0.3, by="hash")},
}


@pytest.mark.parametrize("way", SPLITS)
def test_each_split_is_that_in_memory(way, tmp_path):
    ROWS[:600].write_parquet(tmp_path / "rows-0.parquet")
    ROWS[600:].write_parquet(tmp_path / "rows-1.parquet")
    ROWS[:50].write_parquet(tmp_path / "test.parquet")
    log = Log("log", ("rows-*.parquet",), (BinaryTask("click"),), folder=tmp_path, ignore=("place",))
    assert_same(dataclasses.replace(log, **SPLITS[way]), tmp_path / "cache", 300)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("truncated", r"b\.parquet can't be read"),
        ("empty", r"must not be empty. Received: .*b\.parquet"),
        ("other columns", r"b\.parquet must have the columns of .*a\.parquet"),
        ("other type", r"b\.parquet, column 'item_id': must be Int64.* Received: String"),
        ("null time", r"b\.parquet: `time` column 'ts' must hold a moment in each row"),
    ],
)
def test_a_file_that_is_no_good_is_named(what, message, tmp_path):
    rows, path = rows_of_day(DAYS[1]), tmp_path / "b.parquet"
    rows_of_day(DAYS[0]).write_parquet(tmp_path / "a.parquet")
    broken = {
        "other columns": rows.drop("share"),
        "other type": rows.with_columns(pl.col("item_id").cast(pl.String) + "x"),
        "null time": rows.with_columns(pl.when(pl.col("item_id") > 3).then("ts").alias("ts")),
    }
    broken.get(what, rows).write_parquet(path)
    if what in ("truncated", "empty"):
        path.write_bytes(path.read_bytes()[:-100] if what == "truncated" else b"")
    log = Log("log", ("*.parquet",), (BinaryTask("click"),), folder=tmp_path, time=TimeColumn("ts"))
    with pytest.raises(ValueError, match=message):
        store_log(log, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*log*/*"))


def test_a_table_has_each_key_once(tmp_path):
    ROWS.write_parquet(tmp_path / "rows.parquet")
    pl.DataFrame({"x": [1, 3, 3], "price": [1.0, 2.0, 3.0]}).write_parquet(tmp_path / "items.parquet")
    tables = (Table(("items.parquet",), ("x",)),)
    log = Log("log", ("rows.parquet",), (BinaryTask("click"),), folder=tmp_path, tables=tables)
    with pytest.raises(
        ValueError, match=r"items.parquet, row 2: must have each key \['x'\] once.*\(3,\) again"
    ):
        store_log(log, tmp_path / "cache")


@pytest.mark.parametrize("role", ["time", "date"])
def test_days_of_a_side_table_are_rejected(role, tmp_path):
    ROWS.drop("at").write_parquet(tmp_path / "rows.parquet")
    ROWS.select("place", "at").write_parquet(tmp_path / "moments.parquet")
    tables, given = (Table(("moments.parquet",), ("place",)),), {"time": TimeColumn("at"), "date": "at"}
    log = Log("log", ("rows.parquet",), (BinaryTask("click"),), folder=tmp_path, tables=tables,
              split={"test_fraction": 0.2}, **{role: given[role]})  # fmt: skip
    assert load_log(log).time == "__time"
    with pytest.raises(ValueError, match=f"`{role}` must be a column of the log's own files.* 'at', not in"):
        store_log(log, tmp_path / "cache")


def test_a_changed_label_and_one_more_day_make_other_rows(tmp_path):
    log = Log("log", ("*.parquet",), (BinaryTask("click"),), folder=tmp_path, time=TimeColumn("ts"))
    clicks = []
    for change in (pl.col("click"), ~pl.col("click")):
        rows_of_day(DAYS[0]).with_columns(change).write_parquet(tmp_path / "a.parquet")
        rows_of_day(DAYS[1]).write_parquet(tmp_path / "b.parquet")
        clicks.append(store_log(log, tmp_path / "cache").read().frame["click"].sum())
    assert clicks[0] != clicks[1]
    before = len(store_log(log, tmp_path / "cache"))
    rows_of_day(DAYS[2]).write_parquet(tmp_path / "c.parquet")
    assert len(store_log(log, tmp_path / "cache")) == before + 300
