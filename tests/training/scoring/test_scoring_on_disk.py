"""Scores of a log larger than its `memory`: to the bit those of the same rows in memory, a part at a time."""

import functools
import shutil

import polars as pl
import pytest
from support.made_up_log import DAYS, rows_of_day, write_feed

from keras_smes.data import loading
from keras_smes.data.files import text
from keras_smes.data.log import store, store_log, store_to_score
from keras_smes.data.past import earlier_rows
from keras_smes.training import RunConfig, ScoreSource, TrainingConfig, score_run, train_run

pytestmark = pytest.mark.tensorflow
PART_ROWS, SCORED_ROWS = 170, 400
SMALL = "memory: 1KB"


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    return write_feed(tmp_path_factory.mktemp("feed"))


@pytest.fixture(scope="module")
def run(feed):
    experts = {"num_experts": 4, "num_shared": 1, "num_private": 1, "expert_units": [8]}
    training = TrainingConfig(epochs=1, batch_size=128, monitor_rows=0)
    train_run(RunConfig(str(feed), experts=experts, training=training), feed.parent / "run")
    return feed.parent / "run"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_SMES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loading, "store_log", functools.partial(store_log, part_rows=PART_ROWS))
    monkeypatch.setattr(loading, "store_to_score", functools.partial(store_to_score, part_rows=PART_ROWS))
    monkeypatch.setattr(earlier_rows, "PART_ROWS", PART_ROWS)
    monkeypatch.setattr(store, "CHUNK_ROWS", PART_ROWS)
    monkeypatch.setattr(text, "SAMPLE", PART_ROWS)


@pytest.fixture
def heights(monkeypatch):
    """How many rows of more than one column were read at a time."""
    seen, collect = [], pl.LazyFrame.collect

    def counted(self, *arguments, **options):
        frame = collect(self, *arguments, **options)
        seen.append(frame.height if frame.width > 1 else 0)
        return frame

    monkeypatch.setattr(pl.LazyFrame, "collect", counted)
    return seen


def own(feed, folder):
    return ScoreSource()


def own_from_a_day(feed, folder):
    return ScoreSource(first=DAYS[2], last=DAYS[3])


def candidates(feed, folder):
    """Rows of the last two days without what is known only afterwards, the user by another name."""
    rows = pl.concat(rows_of_day(day).drop("click", "watch_ms", "dwell_ms", "share") for day in DAYS[3:])
    rows.rename({"user_id": "viewer"}).with_row_index("place").write_parquet(folder / "candidates.parquet")
    source = other_log(feed, folder, "candidates.parquet", ["place", "ts", "viewer"])
    declared = (folder / "other.yaml").read_text()
    declared = declared.replace("user: user_id", "user: viewer").replace(
        "[user_id, item_id, ts]", "[viewer, item_id, ts]"
    )
    (folder / "other.yaml").write_text(declared + "ignore: [place]\n")
    return source


def empty_labels(feed, folder):
    rows = rows_of_day(DAYS[4]).with_columns(click=pl.lit(None, pl.String), watch_ms=pl.lit(None, pl.Int64))
    rows.write_parquet(folder / "empty.parquet")
    return other_log(feed, folder, "empty.parquet")


def labelled_days(feed, folder):
    for day in DAYS[2:4]:
        shutil.copytree(feed.parent / "log" / f"dt={day}", folder / "log" / f"dt={day}")
    return other_log(feed, folder, "log/dt=*/part-*.parquet")


def other_log(feed, folder, files, keys=None):
    shutil.copy(feed.parent / "items.parquet", folder / "items.parquet")
    declared = feed.read_text().replace("log/dt=*/part-*.parquet", files)
    (folder / "other.yaml").write_text(declared)
    return ScoreSource(str(folder / "other.yaml"), keys=keys)


def with_memory(path, memory):
    """Changes the `memory` of a YAML."""
    path.write_text(path.read_text().replace("memory: 2GB", memory))


@pytest.fixture(params=[own, own_from_a_day, candidates, empty_labels, labelled_days])
def source(request, feed, tmp_path):
    yield request.param(feed, tmp_path)
    feed.write_text(feed.read_text().replace(SMALL, "memory: 2GB"))


def test_scores_from_disk_are_those_in_memory(run, feed, source, tmp_path, heights):
    score_run(run, tmp_path / "memory", source, SCORED_ROWS)
    del heights[:]
    for path in {feed, feed if source.data is None else tmp_path / "other.yaml"}:
        with_memory(path, SMALL)
    done = score_run(run, tmp_path / "disk", source, SCORED_ROWS)
    assert done["written"] == done["parts"] >= 1
    assert max(heights) <= SCORED_ROWS
    names = {path.name for path in (tmp_path / "memory").glob("part-*")}
    assert names == {path.name for path in (tmp_path / "disk").glob("part-*")}
    for name in names:
        assert (tmp_path / "disk" / name).read_bytes() == (tmp_path / "memory" / name).read_bytes()
    assert list((tmp_path / "cache").iterdir()), "rows were kept on disk"


def test_a_part_is_written_again_from_the_rows_that_were_kept(run, feed, tmp_path, heights):
    source = candidates(feed, tmp_path)
    with_memory(tmp_path / "other.yaml", SMALL)
    score_run(run, tmp_path / "disk", source, SCORED_ROWS)
    path = tmp_path / "disk" / "part-00001.parquet"
    content = path.read_bytes()
    path.unlink()
    kept = {folder: folder.stat().st_mtime_ns for folder in (tmp_path / "cache").rglob("*.parquet")}
    assert score_run(run, tmp_path / "disk", source, SCORED_ROWS) == {"rows": 600, "parts": 2, "written": 1}
    assert path.read_bytes() == content
    assert {folder: folder.stat().st_mtime_ns for folder in (tmp_path / "cache").rglob("*.parquet")} == kept


def test_rows_on_disk_before_the_past_of_earlier_dates_are_named(run, feed, tmp_path):
    """By their column of dates the rows are later than the past, and by their time they are not."""
    rows = rows_of_day(DAYS[2]).with_columns(day=pl.lit(DAYS[4]))
    rows.write_parquet(tmp_path / "late.parquet")
    source = other_log(feed, tmp_path, "late.parquet")
    declared = (tmp_path / "other.yaml").read_text().replace("user: user_id", "user: user_id\ndate: day")
    (tmp_path / "other.yaml").write_text(declared.replace("memory: 2GB", SMALL))
    with pytest.raises(ValueError, match=r"must not be before rows of feed of earlier dates.*Received: feed"):
        score_run(run, tmp_path / "disk", source)
