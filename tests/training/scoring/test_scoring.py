"""Scores of many rows: those of the ranker, in parts, resumed, and of no other run or files."""

import dataclasses
import json
import os
import shutil
import signal
import time

import numpy as np
import polars as pl
import pytest
from support.made_up_log import DAYS, rows_of_day, write_feed
from support.processes import TRAIN, Process, wait_until

from keras_smes.cli import main
from keras_smes.data import load, split_with_statistics, with_histories, with_statistics
from keras_smes.training import RunConfig, ScoreSource, TrainingConfig, load_run, score_run, train_run

pytestmark = pytest.mark.tensorflow
EXPERTS = {"num_experts": 4, "num_shared": 1, "num_private": 1, "expert_units": [8]}
TASKS = ["click", "watch_seconds"]


def config_of(data):
    return RunConfig(
        str(data), experts=EXPERTS, training=TrainingConfig(epochs=1, batch_size=128, monitor_rows=0)
    )


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    return write_feed(tmp_path_factory.mktemp("feed"))


@pytest.fixture(scope="module")
def run(feed):
    train_run(config_of(feed), feed.parent / "run")
    return feed.parent / "run"


@pytest.fixture(scope="module")
def scored(run, feed):
    """The folder of scores of all rows of the run's log."""
    out = feed.parent / "scores"
    command = ["score", str(run), "--data", str(feed), "--out", str(out), "--part-rows", "400"]
    assert main(command) == 0
    return out


def read(folder):
    return pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("part-*.parquet"))])


def predicted(run, rows):
    return {name: np.array(own) for name, own in load_run(run)[0].predict(rows.columns(), verbose=0).items()}


def assert_scores(frame, expected):
    for task in TASKS:
        assert frame[task].dtype == pl.Float32
        np.testing.assert_allclose(frame[task].to_numpy(), expected[task], rtol=1e-5, atol=1e-6)


def test_parts_hold_the_keys_and_the_scores_of_all_rows(scored, run, feed):
    parts = [pl.read_parquet(path) for path in sorted(scored.glob("part-*.parquet"))]
    assert [len(part) for part in parts] == [400, 400, 400, 300]
    whole = load(str(feed))
    assert read(scored).columns == ["user_id", "ts", "item_id", *TASKS]
    for name in ("user_id", "ts", "item_id"):
        assert read(scored)[name].equals(whole.frame[name])
    assert sorted(path.name for path in scored.iterdir()) == [
        "manifest.json",
        *(f"part-0000{n}.parquet" for n in range(4)),
    ]


def test_scores_are_what_the_ranker_predicts_of_the_rows_that_evaluation_has(scored, run, feed):
    parts = split_with_statistics(load(str(feed)))
    expected = [predicted(run, part) for part in (parts.train, parts.test)]
    both = {task: np.concatenate([own[task] for own in expected]) for task in TASKS}
    assert_scores(read(scored), both)


def test_metrics_of_the_run_are_those_of_its_scores(scored, run, feed):
    metrics_of = pytest.importorskip("sklearn.metrics")
    rows = load(str(feed))
    click = rows.frame["click"].to_numpy()
    test = (rows.frame["__date"] >= DAYS[3]).to_numpy()
    auc = metrics_of.roc_auc_score(click[test], read(scored)["click"].to_numpy()[test])
    metrics = json.loads((run / "metrics.json").read_text())
    assert auc == pytest.approx(metrics["tasks"]["click"]["auc"], abs=1e-6)


def test_a_second_call_writes_what_is_missing_only(scored, run, feed, tmp_path):
    out = tmp_path / "scores"
    shutil.copytree(scored, out)
    (out / "part-00002.parquet").unlink()
    (out / ".partial-1-part-00002.parquet").write_bytes(b"half")  # of a call that was killed
    before = {path: path.stat().st_mtime_ns for path in out.glob("part-*")}
    source = ScoreSource(str(feed))
    assert score_run(run, out, source, 400) == {"rows": 1500, "parts": 4, "written": 1}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not list(out.glob(".*"))
    for path in sorted(scored.glob("part-*")):
        assert (out / path.name).read_bytes() == path.read_bytes()
    assert score_run(run, out, source, 400)["written"] == 0


def test_a_call_killed_at_random_moments_leaves_whole_parts(run, feed, tmp_path):
    command = ["score", str(run), "--data", str(feed), "--part-rows", "30", "--out"]
    assert main([*command, str(tmp_path / "whole")]) == 0
    whole = {path.name: pl.read_parquet(path) for path in (tmp_path / "whole").glob("part-*.parquet")}
    out, rng = tmp_path / "out", np.random.default_rng()
    for there in np.cumsum(rng.integers(1, 15, 3)):
        process = Process(TRAIN, [*command, out], tmp_path / "log.txt")
        wait_until(lambda there=there: len(list(out.glob("part-*"))) >= there, "parts")
        time.sleep(rng.uniform(0, 0.02))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        for path in out.glob("part-*.parquet"):
            assert pl.read_parquet(path).equals(whole[path.name])
    assert main([*command, str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {*whole, "manifest.json"}, "no locks, no parts of parts"
    for name, frame in whole.items():
        assert pl.read_parquet(out / name).equals(frame)


def candidates(feed, folder, day, **columns):
    """Rows of a day without what is known only afterwards, and their YAML; returns the path of it."""
    rows = rows_of_day(day).drop("click", "watch_ms", "dwell_ms", "share").with_columns(**columns)
    rows.write_parquet(folder / "candidates.parquet")
    shutil.copy(feed.parent / "items.parquet", folder / "items.parquet")
    path = folder / "candidates.yaml"
    path.write_text(feed.read_text().replace("log/dt=*/part-*.parquet", "candidates.parquet"))
    return path


def test_candidates_without_labels_have_the_past_of_the_run_s_log(run, feed, tmp_path):
    """The rows of the last day but one, first of the test days: as evaluation has them, labels unseen."""
    data = candidates(feed, tmp_path, DAYS[3], place=pl.int_range(pl.len()))
    out = tmp_path / "scores"
    assert main(["score", str(run), "--data", str(data), "--out", str(out), "--keys", "place", "ts"]) == 0
    test = split_with_statistics(load(str(feed))).test
    first_day = test.between(DAYS[3], DAYS[3])
    frame = read(out)
    assert frame.columns == ["place", "ts", *TASKS]
    assert frame["ts"].equals(first_day.frame["ts"])
    assert frame["place"].to_list() == rows_of_day(DAYS[3])["ts"].arg_sort().to_list()
    assert_scores(frame, predicted(run, first_day))


@pytest.mark.parametrize("days", [DAYS[3:], DAYS[4:], DAYS[2:4]])
def test_days_with_labels_have_their_own_past_and_that_of_the_run_s_log(run, feed, tmp_path, days):
    """Each row as of its day, whichever days the files hold: those of before come from the run's log."""
    for day in days:
        shutil.copytree(feed.parent / "log" / f"dt={day}", tmp_path / "log" / f"dt={day}")
    shutil.copy(feed.parent / "items.parquet", tmp_path / "items.parquet")
    shutil.copy(feed, tmp_path / "days.yaml")
    score_run(run, tmp_path / "scores", ScoreSource(str(tmp_path / "days.yaml")))
    rows = with_histories(with_statistics(load(str(feed)))).between(days[0], days[-1])
    assert_scores(read(tmp_path / "scores"), predicted(run, rows))


def test_a_log_without_rows_is_named(run, feed, tmp_path):
    data = candidates(feed, tmp_path, DAYS[3])
    pl.read_parquet(tmp_path / "candidates.parquet")[:0].write_parquet(tmp_path / "candidates.parquet")
    with pytest.raises(ValueError, match=r"must have rows. Received: none in 1 files, .*candidates.parquet"):
        score_run(run, tmp_path / "scores", ScoreSource(str(data)))


def test_labels_that_are_there_but_empty_are_none(run, feed, tmp_path):
    data = candidates(feed, tmp_path, DAYS[4])
    score_run(run, tmp_path / "without", ScoreSource(str(data)))
    frame = pl.read_parquet(tmp_path / "candidates.parquet")
    frame = frame.with_columns(click=pl.lit(None, pl.String), watch_ms=pl.lit(None, pl.Int64))
    frame.write_parquet(tmp_path / "candidates.parquet")
    score_run(run, tmp_path / "empty", ScoreSource(str(data)))
    assert read(tmp_path / "empty").equals(read(tmp_path / "without"))
    assert not read(tmp_path / "without")[TASKS[0]].is_nan().any()


def test_dates_choose_rows_that_know_what_was_known_at_the_first(run, feed, tmp_path):
    source = ScoreSource(first=DAYS[2], last=DAYS[3])
    score_run(run, tmp_path / "dated", source)
    test = split_with_statistics(load(str(feed)), test_from=DAYS[2], test_until=DAYS[3]).test
    assert_scores(read(tmp_path / "dated"), predicted(run, test))
    with pytest.raises(ValueError, match=r"differing \['last', 'rows'\]"):
        score_run(run, tmp_path / "dated", dataclasses.replace(source, last=None))


def copied(scored, tmp_path):
    out = tmp_path / "scores"
    shutil.copytree(scored, out)
    (out / "part-00001.parquet").unlink()
    return out


def test_another_run_is_rejected(scored, run, feed, tmp_path, capsys):
    train_run(dataclasses.replace(config_of(feed), seed=1), tmp_path / "other")
    out = copied(scored, tmp_path)
    command = ["score", str(tmp_path / "other"), "--data", str(feed), "--out", str(out)]
    assert main([*command, "--part-rows", "400"]) == 2
    assert "differing ['run.model.keras']" in capsys.readouterr().err
    assert not (out / "part-00001.parquet").exists()


def test_changed_files_are_rejected_by_name(scored, run, feed, tmp_path):
    out = copied(scored, tmp_path)
    for options, changed in (({"part_rows": 300}, "part_rows"), ({"part_rows": 400}, "part-1.parquet")):
        path = feed.parent / "log" / f"dt={DAYS[0]}" / "part-1.parquet"
        status, content = path.stat(), path.read_bytes()
        try:
            if changed.endswith("parquet"):
                frame = pl.read_parquet(path)
                frame.with_columns(click=~pl.col("click")).write_parquet(path)
            with pytest.raises(ValueError, match=changed):
                score_run(run, out, ScoreSource(str(feed)), **options)
        finally:
            path.write_bytes(content)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    (out / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"no parts without manifest.json. Received: .*part-00000.parquet"):
        score_run(run, out, ScoreSource(str(feed)), 400)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": ["item_id", "nothing"]}, r"`keys` must be columns .*Received: \['nothing'\]"),
        ({"keys": ["click"]}, r"`keys` must not have the name of a task.*Received: \['click'\]"),
        ({"data": "nowhere.yaml"}, "nowhere.yaml"),
    ],
)
def test_what_can_not_be_scored_is_named(run, feed, tmp_path, change, message):
    source = ScoreSource(**{"data": str(feed), **change})
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        score_run(run, tmp_path / "scores", source)


def test_candidates_without_a_feature_or_of_another_type_are_named(run, feed, tmp_path):
    data = candidates(feed, tmp_path, DAYS[3], item_id=pl.col("item_id").cast(pl.String) + "x")
    table = "tables:\n- {files: items.parquet, key: item_id}"
    assert table in data.read_text()
    data.write_text(data.read_text().replace(table, "tables: []"))
    with pytest.raises(ValueError, match=r"'item_id' must hold integers within int64. Received: String"):
        score_run(run, tmp_path / "scores", ScoreSource(str(data)))
    frame = pl.read_parquet(tmp_path / "candidates.parquet")
    frame.with_columns(item_id=pl.lit(3)).write_parquet(tmp_path / "candidates.parquet")
    with pytest.raises(ValueError, match=r"missing=\['tags', 'price'\]"):
        score_run(run, tmp_path / "scores", ScoreSource(str(data)))


def test_rows_without_users_and_time_have_their_place_as_key(tmp_path):
    rng = np.random.default_rng(0)
    code = rng.integers(0, 8, 500)
    rows = pl.DataFrame({"code": code, "income": np.where(rng.random(500) < code / 8, "50000+.", "-")})
    rows.write_parquet(tmp_path / "rows.parquet")
    text = "files: rows.parquet\ntasks:\n- {name: rich, label: income, positive: ['50000+.']}\n"
    (tmp_path / "census.yaml").write_text(text)
    train_run(config_of(tmp_path / "census.yaml"), tmp_path / "run")
    new = pl.DataFrame({"name": ["a", "b", "c"], "code": [7, 0, 99], "income": ["-", "-", "-"]})
    new.write_parquet(tmp_path / "new.parquet")
    (tmp_path / "new.yaml").write_text(text.replace("rows.parquet", "new.parquet") + "ignore: [name]\n")
    score_run(tmp_path / "run", tmp_path / "scores", ScoreSource(str(tmp_path / "new.yaml")))
    frame = read(tmp_path / "scores")
    assert frame["row"].to_list() == [0, 1, 2]
    assert frame.columns == ["row", "rich"]
    expected = load_run(tmp_path / "run")[0].predict({"code": new["code"].to_numpy()}, verbose=0)
    np.testing.assert_allclose(frame["rich"], np.array(expected["rich"]), rtol=1e-5)
    source = ScoreSource(str(tmp_path / "new.yaml"), keys=["name"])
    score_run(tmp_path / "run", tmp_path / "named", source)
    assert read(tmp_path / "named")["name"].to_list() == ["a", "b", "c"]
