"""Spark, a process of its own in local mode, gives what DuckDB gives, to the last digit."""

import datetime
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from keras_smes.data import History, Interactions, KeyGroup, StoredInteractions, statistic_names, store_past
from keras_smes.data.store.part import Part
from keras_smes.features.schema import FeatureSchema, IntegerCategory

pytest.importorskip("pyspark", reason='needs pip install "keras_smes[spark]"')
if shutil.which("java") is None:
    pytest.skip("needs a Java runtime", allow_module_level=True)

KEYS = (
    KeyGroup("user", ("user",), smoothing=2.0),
    KeyGroup("tag", ("tag",)),
    KeyGroup("user_tag", ("user", "tag"), smoothing=1.5, towards="user"),
)
HISTORIES = (History("clicked", "item", "click", length=3), History("liked", "item", "like", length=20))
FIRST = datetime.date(1970, 1, 1)


@pytest.fixture(scope="module")
def session():
    from pyspark.sql import SparkSession

    options = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.bindAddress": "127.0.0.1",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in options.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


def rows(count: int = 1500) -> pl.DataFrame:
    """Rows of nine days, the fifth missing; many of one moment, some dated late, some users and tags null."""
    rng = np.random.default_rng(5)
    hours = np.sort(rng.choice([h for h in range(24 * 9) if h // 24 != 4], count))
    days = hours // 24 + (rng.random(count) < 0.1)
    known = pl.Series(rng.random(count) < 0.9)
    return pl.DataFrame(
        {
            "time": hours * 3_600_000,
            "date": pl.Series(days.astype(np.int32)).cast(pl.Date),
            "user": pl.Series(rng.integers(0, 25, count)).set(~known, None),
            "tag": pl.Series(rng.choice(["x", "y", "Ulm 京", ""], count)).set(~known.reverse(), None),
            "item": rng.integers(0, 50, count),
            "click": rng.integers(0, 2, count),
            "like": pl.Series(rng.random(count) < 0.05),
        }
    )


def store(folder: Path, half_life: float | None, keys, histories) -> StoredInteractions:
    """The rows in three parts."""
    frame = rows()
    (folder / "rows").mkdir(parents=True)
    parts = []
    for place, part in enumerate(frame.iter_slices(500)):
        part.write_parquet(folder / "rows" / f"{place}.parquet")
        parts.append(Part(f"{place}.parquet", dict(part["date"].value_counts().rows())))
    schema = FeatureSchema((IntegerCategory("item"),))
    roles = Interactions("made", frame.clear(), "user", "time", "date", ("click", "like"), schema, {},
                         keys, histories, half_life=half_life)  # fmt: skip
    return StoredInteractions(roles, folder, tuple(parts))


@pytest.mark.parametrize(("half_life", "keys", "histories"), [(None, KEYS[:1], HISTORIES), (0.3, KEYS, ())])
def test_spark_is_equal_to_the_last_digit(session, half_life, keys, histories, tmp_path: Path) -> None:
    from keras_smes.data.past.spark import Spark

    frozen_from = FIRST + datetime.timedelta(days=7)
    found = [
        store_past(store(tmp_path / name, half_life, keys, histories), frozen_from, 0, engine).read().frame
        for name, engine in (("duckdb", None), ("spark", Spark(session)))
    ]
    assert found[0].equals(found[1])
    assert found[0].schema == found[1].schema
    last = statistic_names(keys[-1], ["click"])[-1]
    assert found[0][last].is_finite().sum() > 1000
    if histories:
        assert found[0]["clicked"].list.len().max() == 3
