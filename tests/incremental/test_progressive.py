"""Day by day: trained on one, tested on the next; killed at any moment, it ends in the same bits."""

import datetime
import itertools
import json
import shutil
import signal

import numpy as np
import pytest
from support.processes import TRAIN, Process, hold_lock, killed_at_the_end, wait_until

pytest.importorskip("polars", reason='needs the extra "data"')

from keras_smes.cli import main
from keras_smes.incremental.progressive import Days
from keras_smes.training import load_run

pytestmark = pytest.mark.tensorflow

CONFIG = {
    "data_options": {
        "rows": 3000,
        "users": 80,
        "videos": 100,
        "days": 5,
        "seed": 3,
        "half_life": 2.0,
        "groups": {"watching": {"click": 0.45, "like": 0.2}},
    },
    "experts": {"num_experts": 4, "num_shared": 1, "expert_units": [4]},
    "encoder": {"units": [8]},
    "tower_units": [4],
    "optimizer": {"schedule": "constant"},
    "training": {"epochs": 1, "batch_size": 64, "steps_per_execution": 1},
}


def command(folder, *options):
    given = ["--data", "simulated", "--config", str(folder / "config.json")]
    return ["progressive", *given, "--out", str(folder / "days"), *options]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    gate = ["--gate", "click", "auc", "--at-least", "0.99", "--export-to", str(folder / "models")]
    assert main(command(folder, *gate)) == 3  # the last day's model was held back
    return folder


def results(folder):
    return json.loads((folder / "days" / "results.json").read_text())["days"]


def test_each_day_is_tested_on_the_next(undisturbed):
    days = results(undisturbed)
    assert len(days) == 4
    for today, tomorrow in itertools.pairwise(days):
        assert today["test_day"] == tomorrow["day"]
    assert days[0]["stale"] == days[0]["tasks"]
    assert days[2]["stale"] != days[2]["tasks"]
    for line in days:
        metrics = json.loads((undisturbed / "days" / line["day"] / "metrics.json").read_text())
        split = metrics["split"]
        assert split["train"]["last_date"] == split["train"]["first_date"] == line["day"]
        assert split["test"]["first_date"] == split["test"]["last_date"] == line["test_day"]
    assert [line["new"].get("rows", {}).get("user_id", 0) > 0 for line in days[:2]] == [False, True]


def test_what_fails_the_gate_is_never_exported(undisturbed):
    assert not (undisturbed / "models").exists()
    assert all(line["export"]["version"] is None for line in results(undisturbed))
    assert "not 0.9900" in results(undisturbed)[0]["export"]["reason"]
    table = (undisturbed / "days" / "README.md").read_text()
    assert table.count("\n| 2022-") == 4
    assert table.count("no: click auc") == 4
    assert (undisturbed / "days" / "progress.png").read_bytes().startswith(b"\x89PNG")


def test_killed_at_a_days_boundary_and_within_a_day_it_gives_the_same(undisturbed, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    days = [line["day"] for line in results(undisturbed)]
    arguments = command(tmp_path, "--no-figures")
    # Once the first day has ended; then in the middle of the third.
    for sign in (days[0] + "/day.json", days[2] + "/checkpoints"):
        process = Process(TRAIN, arguments, tmp_path / "log")
        with killed_at_the_end({"process": process}):
            wait_until(lambda sign=sign: (tmp_path / "days" / sign).exists(), sign)
        assert process.wait() == -signal.SIGKILL
    assert main(arguments) == 0
    assert _without_clock(results(tmp_path)) == _without_clock(results(undisturbed))
    ours, theirs = (load_run(folder / "days" / days[-1])[0] for folder in (tmp_path, undisturbed))
    for mine, other in zip(ours.variables, theirs.variables, strict=True):
        assert np.array(mine).tobytes() == np.array(other).tobytes(), mine.path
    assert main([*arguments, "--epochs", "2"]) == 2  # days of another configuration


@pytest.fixture
def days(undisturbed, tmp_path):
    """A copy of the finished days, by date."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    shutil.copytree(undisturbed / "days", tmp_path / "days")
    return [tmp_path / "days" / line["day"] for line in results(undisturbed)]


def test_finished_days_are_taken_as_they_are(days, tmp_path):
    before = [(day / "metrics.json").stat().st_mtime_ns for day in days]
    assert main(command(tmp_path, "--no-figures")) == 0
    assert [(day / "metrics.json").stat().st_mtime_ns for day in days] == before


def rejected(tmp_path, capsys, *options):
    """What is said of a command that is rejected before it trains or writes anything."""
    state = {path: path.read_bytes() for path in (tmp_path / "days").rglob("*") if path.is_file()}
    assert main(command(tmp_path, "--no-figures", *options)) == 2
    now = {path: path.read_bytes() for path in (tmp_path / "days").rglob("*") if path.is_file()}
    assert now == state
    return capsys.readouterr().err


def test_days_that_go_on_from_another_run_are_rejected(days, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(days[-1], other)
    message = f"{days[0]} must continue from {other}"
    assert message in rejected(tmp_path, capsys, "--from", str(other))


def test_days_of_another_first_day_are_rejected(days, tmp_path, capsys):
    error = rejected(tmp_path, capsys, "--from-date", days[1].name)
    assert f"{days[1]} must continue from no run" in error
    shutil.rmtree(days[0])
    assert f"{days[1]} must continue from {days[0]}" in rejected(tmp_path, capsys)


def test_a_day_that_was_trained_again_is_not_taken_for_the_one_before(days, tmp_path, capsys):
    shutil.copy(days[3] / "model.keras", days[1] / "model.keras")
    assert f"{days[2]} must continue from {days[1]}" in rejected(tmp_path, capsys)


def test_days_of_other_rows_are_rejected(days, tmp_path, capsys):
    metrics = json.loads((days[2] / "metrics.json").read_text())
    metrics["split"]["train"]["rows"] += 1
    (days[2] / "metrics.json").write_text(json.dumps(metrics))
    assert f"{days[2]} was trained or tested on other rows" in rejected(tmp_path, capsys)


def test_an_export_that_is_asked_for_later_is_made(days, tmp_path):
    for day in days:
        line = json.loads((day / "day.json").read_text())
        (day / "day.json").write_text(json.dumps({**line, "export": None}))  # as without --export-to
    models = tmp_path / "models"
    gate = ["--gate", "click", "auc", "--at-least", "0.99", "--export-to", str(models)]
    assert main(command(tmp_path, "--no-figures", *gate)) == 3
    assert all("not 0.9900" in line["export"]["reason"] for line in results(tmp_path))


def test_a_second_process_is_rejected(days, tmp_path, capsys):
    first = hold_lock(tmp_path / "log", tmp_path / "days")
    assert f"held by process {first.pid} on " in rejected(tmp_path, capsys)
    first.kill()


def _without_clock(lines):
    return [
        {key: line[key] for key in ("day", "test_day", "rows", "new", "tasks", "stale")} for line in lines
    ]


def test_one_day_is_not_enough():
    from keras_smes.data import simulate

    day = datetime.date(2022, 4, 26)
    with pytest.raises(ValueError, match="Two days with rows"):
        Days(day, day).pairs(simulate(rows=500, days=4))


def test_rows_without_days_are_named(tmp_path):
    import polars as pl

    from keras_smes.data import Log, load_log

    pl.DataFrame({"x": [1, 2] * 9, "click": [0, 1] * 9}).write_parquet(tmp_path / "rows.parquet")
    rows = load_log(Log("people", ("rows.parquet",), ("click",), folder=tmp_path))
    with pytest.raises(ValueError, match=r"needs rows with `time` or `date`\. Received: people without"):
        Days().pairs(rows)


def test_on_a_real_log(kuairand_folder, tmp_path):
    """Three days of KuaiRand, the first with all before it."""
    config = {
        "data_options": {"half_life": 7.0, "left_out": []},
        "experts": {"num_experts": 4, "num_shared": 1, "expert_units": [8, 4]},
        "encoder": {"units": [16]},
        "training": {"epochs": 1},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    given = ["--data", "kuairand-pure", "--data-dir", str(kuairand_folder), "--no-figures"]
    dates = ["--from-date", "2022-04-27", "--to-date", "2022-04-29"]
    options = ["--config", str(tmp_path / "config.json"), "--out", str(tmp_path / "days"), *dates]
    assert main(["progressive", *given, *options]) == 0
    first, second = results(tmp_path)
    assert (first["day"], second["test_day"]) == ("2022-04-27", "2022-04-29")
    assert first["rows"] > second["rows"]
    assert second["new"]["rows"]["video_id"] > 0
    assert second["tasks"]["click"]["auc"] > 0.65
