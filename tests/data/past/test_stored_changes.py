"""What was computed of stored rows is computed anew when their files change, whatever their names."""

import datetime
import os
from pathlib import Path

import numpy as np
import polars as pl

from keras_smes.data.interactions import Interactions
from keras_smes.data.past.statistics import with_statistics
from keras_smes.data.past.stored import store_past
from keras_smes.data.roles import KeyGroup
from keras_smes.data.store.cache import fingerprints
from keras_smes.data.store.interactions import StoredInteractions
from keras_smes.data.store.part import Part
from keras_smes.features.schema import FeatureSchema, IntegerCategory, StringCategory

START = datetime.datetime(2026, 1, 1)
SCHEMA = FeatureSchema((IntegerCategory("item"), StringCategory("word")))


def rows(days: range, flipped: bool = False) -> pl.DataFrame:
    """A row an hour of some days."""
    hours = range(24 * days.start, 24 * days.stop)
    moments = [START + datetime.timedelta(hours=hour) for hour in hours]
    return pl.DataFrame(
        {
            "user": [hour % 5 for hour in hours],
            "item": [hour % 7 for hour in hours],
            "word": [("", "Ulm", "a\x00b\x00", "übér 京", "x" * 300)[hour % 5] for hour in hours],
            "click": pl.Series([(hour % 2) ^ flipped for hour in hours], dtype=pl.Int8),
            "at": moments,
            "day": [moment.date() for moment in moments],
        }
    )


def interactions(frame: pl.DataFrame, time_zone: str = "UTC") -> Interactions:
    statistics = (KeyGroup("item", ("item",)),)
    return Interactions(
        "mine", frame, "user", "at", "day", ("click",), SCHEMA, {}, statistics, time_zone=time_zone
    )


def store(folder: Path, *parts: pl.DataFrame, time_zone: str = "UTC") -> StoredInteractions:
    (folder / "rows").mkdir(exist_ok=True)
    made = []
    for number, part in enumerate(parts):
        part.write_parquet(folder / "rows" / f"{number}.parquet")
        made.append(Part(f"{number}.parquet", dict(part["day"].value_counts().rows())))
    return StoredInteractions(interactions(parts[0].clear(), time_zone), folder, tuple(made))


def assert_up_to_date(folder: Path, *parts: pl.DataFrame, **options: str) -> None:
    found = store_past(store(folder, *parts, **options), verbose=0).read().columns()
    expected = with_statistics(interactions(pl.concat(parts), **options)).columns()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_a_changed_label_changes_the_statistics(tmp_path: Path) -> None:
    assert_up_to_date(tmp_path, rows(range(4)), rows(range(4, 6)))
    assert_up_to_date(tmp_path, rows(range(4), flipped=True), rows(range(4, 6)))


def test_one_more_day_is_one_more_part(tmp_path: Path) -> None:
    assert_up_to_date(tmp_path, rows(range(4)))
    assert_up_to_date(tmp_path, rows(range(4)), rows(range(4, 6)))
    assert_up_to_date(tmp_path, rows(range(3)))


def test_another_time_zone_has_other_days(tmp_path: Path) -> None:
    assert_up_to_date(tmp_path, rows(range(6)))
    assert_up_to_date(tmp_path, rows(range(6)), time_zone="Asia/Shanghai")


def test_a_file_of_the_same_size_and_time_is_told_by_its_footer(tmp_path: Path) -> None:
    paths = [tmp_path / "rows.parquet"]
    frame = rows(range(4))
    found = []
    for users in (frame["user"], frame["user"] + 1):
        frame.with_columns(users).write_parquet(paths[0], compression="uncompressed")
        os.utime(paths[0], ns=(1, 1))
        found.append((paths[0].stat().st_size, fingerprints(paths)))
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]
