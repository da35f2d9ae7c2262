"""Small logs learn with the defaults: rows whose labels a known rule draws, at its own AUC."""

import datetime
import json

import numpy as np
import polars as pl
import pytest

from keras_smes.cli import main
from keras_smes.incremental import validate_progressively
from keras_smes.training import RunConfig, RunOptions, TrainingConfig, train_run

pytestmark = pytest.mark.tensorflow


def write_log(folder, count):
    """Rows of which price and city decide the click; returns the click and its probability."""
    rng = np.random.default_rng(5)
    price, city = rng.uniform(1, 100, count), rng.integers(0, 4, count)
    chance = 1 / (1 + np.exp(0.08 * (price - 50) - np.array([-1, 0, 1, 2])[city]))
    click = (rng.random(count) < chance).astype(int)
    frame = pl.DataFrame({"user_id": rng.integers(0, count // 20, count), "price": price, "click": click})
    frame = frame.with_columns(city=pl.Series([("Bern", "Lima", "Oslo", "Rome")[code] for code in city]))
    frame.write_csv(folder / "rows.csv")
    (folder / "log.yaml").write_text(
        "files: rows.csv\nuser: user_id\ntasks: [click]\nsplit: {test_fraction: 0.25, by: hash, seed: 1}\n"
    )
    return click, chance


@pytest.mark.parametrize(("count", "batch_size"), [(2_000, 16), (5_600, 16)])
def test_a_small_log_learns_with_the_defaults(count, batch_size, tmp_path):
    roc_auc_score = pytest.importorskip("sklearn.metrics").roc_auc_score
    best = roc_auc_score(*write_log(tmp_path, count))
    run = tmp_path / "run"
    assert main(["train", "--data", str(tmp_path / "log.yaml"), "--out", str(run)]) == 0
    assert json.loads((run / "config.json").read_text())["training"]["batch_size"] == batch_size
    assert best > 0.85
    assert json.loads((run / "metrics.json").read_text())["tasks"]["click"]["auc"] > best - 0.03


SMALL = {"experts": {"num_experts": 4, "num_shared": 1, "expert_units": [4]}}


def test_a_batch_of_more_than_all_rows_is_one_step(tmp_path):
    write_log(tmp_path, 200)
    training = TrainingConfig(epochs=1, batch_size=10_000, monitor_rows=0)
    config = RunConfig(str(tmp_path / "log.yaml"), training=training, **SMALL)
    train_run(config, tmp_path / "run")
    with np.load(tmp_path / "run" / "training.npz") as state:
        assert int(state["steps"]) == 1


def test_a_run_resumes_with_the_batches_that_its_rows_gave(tmp_path):
    write_log(tmp_path, 400)
    config = RunConfig(str(tmp_path / "log.yaml"), **SMALL)
    options = RunOptions(keep_checkpoints=True)
    first = train_run(config, tmp_path / "run", options=options)
    again = train_run(config, tmp_path / "run", options=options)
    assert again["history"] == first["history"]


def test_finished_days_with_batches_by_their_rows_are_taken_as_they_are(tmp_path):
    write_log(tmp_path, 600)
    days = [datetime.date(2026, 11, 1 + row // 200) for row in range(600)]
    pl.read_csv(tmp_path / "rows.csv").with_columns(day=pl.Series(days)).write_csv(tmp_path / "rows.csv")
    (tmp_path / "log.yaml").write_text("files: rows.csv\ndate: day\ntasks: [click]\n")
    config = RunConfig(str(tmp_path / "log.yaml"), **SMALL)
    first = validate_progressively(config, tmp_path / "days", figures=False)
    assert validate_progressively(config, tmp_path / "days", figures=False) == first
