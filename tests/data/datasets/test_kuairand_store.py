import datetime
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_smes.data.datasets.kuairand import load_kuairand
from keras_smes.data.datasets.kuairand_store import store_kuairand
from keras_smes.data.interactions import Interactions
from keras_smes.data.log import checks
from keras_smes.data.log import store as log_store
from keras_smes.data.past import stored as past
from keras_smes.data.past.statistics import split_with_statistics
from keras_smes.data.past.stored import split_with_past, store_past
from keras_smes.data.store.interactions import StoredInteractions

Write = Callable[..., Path]
ROWS = 4000


@pytest.fixture
def release(write_random_release: Write, tmp_path: Path) -> Path:
    return write_random_release(tmp_path / "release", ROWS, parts=2)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts small logs as large ones are cut."""
    monkeypatch.setattr(checks, "KEYS_AT_A_TIME", 20)


def store(release: Path, cache: Path, **options: object) -> StoredInteractions:
    return store_kuairand("pure", release, cache, **{"part_rows": 350, "verbose": 0, **options})


def same(stored: StoredInteractions, loaded: Interactions) -> None:
    read = stored.read()
    assert len(stored) == len(loaded)
    assert read.frame.equals(loaded.frame)
    assert read.frame.schema == loaded.frame.schema
    for field in ("name", "tasks", "schema", "counts", "statistics", "histories"):
        assert getattr(read, field) == getattr(loaded, field)


@pytest.mark.parametrize(
    "options",
    [{}, {"tasks": ["follow", "watch_seconds"], "history": 3}, {"left_out": ["video_id", "author_id"]}],
)
def test_rows_are_those_in_memory(release: Path, tmp_path: Path, options: dict[str, object]) -> None:
    stored, loaded = store(release, tmp_path, **options), load_kuairand("pure", release, **options)
    assert len(stored.parts) > 10
    assert loaded.counts["exact_duplicates"] > 50
    assert loaded.counts["repeated_impressions"] > 50
    assert loaded.counts["rows_without_video"] > 10
    same(stored, loaded)
    assert stored.split_dates == loaded.split_dates


@pytest.mark.parametrize("cut", [{}, {"test_from": datetime.date(2022, 4, 28)}])
def test_past_is_that_in_memory(release: Path, tmp_path: Path, cut: dict[str, datetime.date]) -> None:
    stored = store(release, tmp_path, history=3)
    parts = split_with_past(stored, **cut, verbose=0)
    expected = split_with_statistics(load_kuairand("pure", release, history=3), **cut)
    same(parts.train, expected.train)
    same(parts.test, expected.test)
    assert parts.frozen_from == expected.frozen_from


def test_past_of_ids_that_are_no_features_is_that_in_memory(release: Path, tmp_path: Path) -> None:
    left_out = ["user_id", "video_id", "author_id"]
    parts = split_with_past(store(release, tmp_path, left_out=left_out), verbose=0)
    expected = split_with_statistics(load_kuairand("pure", release, left_out=left_out))
    same(parts.train, expected.train)
    same(parts.test, expected.test)


def test_real_rows_and_their_past_are_those_in_memory(
    kuairand_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_kuairand("pure", kuairand_folder, history=5)
    stored = store(kuairand_folder, tmp_path, history=5, part_rows=50_000)
    same(stored, loaded)
    parts, expected = split_with_past(stored, verbose=0), split_with_statistics(loaded)
    same(parts.train, expected.train)
    same(parts.test, expected.test)


def test_parts_are_of_the_rows_asked_for(release: Path, tmp_path: Path) -> None:
    stored = store(release, tmp_path, part_rows=100)
    full, left = divmod(len(stored), 100)
    assert [len(part) for part in stored.parts] == [100] * full + [left] * (left > 0)
    times = [stored.read([part]).frame["time_ms"] for part in stored.parts]
    assert all(one.max() <= next_one.min() for one, next_one in itertools.pairwise(times))


def test_files_are_made_once(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = store_past(store(release, tmp_path), verbose=0)
    monkeypatch.setattr(log_store, "_write", None)
    monkeypatch.setattr(past, "_write", lambda: None)  # raises where it is called
    again = store_past(store(release, tmp_path), verbose=0)
    assert (again.folder, again.layers) == (first.folder, first.layers)
    assert store(release, tmp_path, tasks=["like"], history=2).folder == first.folder
    assert store(release, tmp_path, left_out=["author_id"]).folder == first.folder
    with pytest.raises(TypeError, match="positional"):
        store_past(store(release, tmp_path), datetime.date(2022, 5, 1), verbose=0)


def test_changed_sources_are_read_again(release: Path, tmp_path: Path) -> None:
    before = store(release, tmp_path)
    log = next((release / "data").glob("log_*_part2.csv"))
    lines = log.read_text().splitlines()
    log.write_text("\n".join(lines[:-5]) + "\n")
    after = store(release, tmp_path)
    assert after.folder != before.folder
    same(after, load_kuairand("pure", release))


def test_a_file_cut_short_in_the_cache_is_refused(release: Path, tmp_path: Path) -> None:
    stored = store(release, tmp_path)
    file = stored.folder / "rows" / stored.parts[3].name
    os.truncate(file, 100)
    with pytest.raises(ValueError, match=rf"is damaged: delete it.*{stored.parts[3].name}"):
        store(release, tmp_path)


def test_nothing_is_left_behind(release: Path, tmp_path: Path) -> None:
    stored = store_past(store(release, tmp_path, history=2), verbose=0)
    assert not list(stored.folder.rglob("scratch"))
    log = next((release / "data").glob("log_*_part1.csv"))
    log.write_text(log.read_text() + "7,1\n")
    with pytest.raises(ValueError, match=r"log_standard_4_22_to_5_08_pure_part1.csv"):
        store(release, tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


def test_dates_cut_rows_but_not_before_their_past(release: Path, tmp_path: Path) -> None:
    stored = store(release, tmp_path)
    some = stored.between(datetime.date(2022, 4, 26), datetime.date(2022, 4, 27))
    loaded = load_kuairand("pure", release).between(datetime.date(2022, 4, 26), datetime.date(2022, 4, 27))
    same(some, loaded)
    assert len(some.parts) < len(stored.parts)
    same(some.between(datetime.date(2022, 4, 1), datetime.date(2022, 5, 1)), loaded)  # none comes back
    assert some.dates() == (datetime.date(2022, 4, 26), datetime.date(2022, 4, 27))
    with pytest.raises(ValueError, match="`stored` must have all rows"):
        store_past(some, verbose=0)
    with pytest.raises(ValueError, match="No rows of kuairand-pure are dated from 2023-01-01"):
        stored.between(datetime.date(2023, 1, 1))
    with pytest.raises(ValueError, match="`train_until` must be before"):
        stored.split(datetime.date(2022, 4, 26), datetime.date(2022, 4, 26))


def test_a_video_described_twice_is_named(release: Path, tmp_path: Path) -> None:
    videos = release / "data" / "video_features_basic_pure.csv"
    lines = videos.read_text().splitlines()
    videos.write_text("\n".join([*lines, lines[40]]) + "\n")
    with pytest.raises(
        ValueError, match=rf"video_features_basic_pure.csv, row {len(lines) + 1}: .* \['video_id'\] once"
    ):
        store(release, tmp_path)


def test_a_log_without_rows_is_refused(release: Path, tmp_path: Path) -> None:
    for log in (release / "data").glob("log_*.csv"):
        log.write_text(log.read_text().splitlines()[0] + "\n")
    with pytest.raises(ValueError, match="must have rows"):
        store(release, tmp_path)


PROGRAM = """
import sys
from pathlib import Path
from keras_smes.data.datasets.kuairand import load_kuairand
from keras_smes.data.datasets.kuairand_store import store_kuairand

def resident(which):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which))

before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak of the imports is not meant
stored = store_kuairand("pure", sys.argv[1], sys.argv[2], part_rows=50_000, verbose=0)
storing = resident("VmHWM") - before
loaded = load_kuairand("pure", sys.argv[1])
print(storing, resident("VmHWM") - before, len(stored), len(loaded))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks as Linux tells them")
def test_storing_takes_less_memory_than_loading(write_random_release: Write, tmp_path: Path) -> None:
    # `benchmarks/input.py` shows with more rows that it stays so, however many there are.
    release = write_random_release(tmp_path / "large", 400_000, users=5000, videos=9000)
    arguments = [sys.executable, "-c", PROGRAM, str(release), str(tmp_path / "cache")]
    printed = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    storing, loading, rows, same_rows = map(int, printed.split()[-4:])
    assert rows == same_rows
    assert storing < loading / 1.5


def test_progress_is_shown_unless_told_otherwise(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_past(store(release, tmp_path), verbose=0)
    assert capsys.readouterr().out == ""
    store_past(store(release, tmp_path / "again", verbose=1), verbose=1)
    printed = capsys.readouterr().out
    for step in (
        "Reading the log",
        "Writing parts",
        "Counting the past",
        "Joining the past",
    ):
        assert step in printed
