"""Cases of a team's log that other tests don't have: handled and counted, or rejected with the file."""

import gzip

import numpy as np
import polars as pl
import pytest

from keras_smes.data import load, split

YAML = """\
files: "{files}"
date: day
tasks: [click]
features:
- {{kind: integer_category, name: item, dim: 4}}
- {{kind: string_category, name: user, dim: 4}}
split: {{test_days: 1}}
"""


def rows(days=(1, 2, 3), new=5, count=40):
    """Days on which users with UUIDs see items, of which each day has new ones; some items are null."""
    rng = np.random.default_rng(6)
    frames = []
    for day in days:
        item = [int(n) if n else None for n in rng.integers(0, 1 + new * day, count)]
        user = [f"00000000-0000-4000-8000-{n:012d}" for n in rng.integers(0, 9, count)]
        click = rng.random(count) < 0.4
        frames.append(
            pl.DataFrame({"day": [f"2026-11-0{day}"] * count, "item": item, "user": user, "click": click})
        )
    return pl.concat(frames)


def declared(folder, files):
    path = folder / "log.yaml"
    path.write_text(YAML.format(files=files))
    return str(path)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_nullable_integers_and_new_ids_are_counted(kind, tmp_path):
    frame = rows()
    getattr(frame, f"write_{kind}")(tmp_path / f"rows.{kind}")
    parts = split(load(declared(tmp_path, f"rows.{kind}")))
    known = {item for item in frame["item"][:80] if item is not None}
    test = frame["item"][80:].to_list()
    np.testing.assert_array_equal(
        parts.test.columns()["item"], [-1 if item is None else item for item in test]
    )
    counts = parts.train.schema.fit(parts.train.columns()).check_columns(parts.test.columns())["item"]
    assert counts["missing"] == test.count(None) > 0
    assert counts["unknown"] == sum(item is not None and item not in known for item in test) > 0
    assert parts.train.columns()["user"][0] == frame["user"][0]


def test_a_corrupt_file_is_named(tmp_path):
    frame = rows()
    frame[:80].write_parquet(tmp_path / "a.parquet")
    frame[80:].write_parquet(tmp_path / "b.parquet")
    data = bytearray((tmp_path / "b.parquet").read_bytes())
    data[20:200] = bytes(180)
    (tmp_path / "b.parquet").write_bytes(data)
    with pytest.raises(ValueError, match=r"b\.parquet can't be read"):
        load(declared(tmp_path, "*.parquet"))


def test_a_truncated_archive_is_named(tmp_path):
    packed = gzip.compress(rows().write_csv().encode())
    (tmp_path / "rows.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match=r"rows\.csv\.gz can't be read"):
        load(declared(tmp_path, "rows.csv.gz"))
