"""A team's own log, from its YAML to a served model: trained, evaluated, gone on from, exported."""

import json

import numpy as np
import polars as pl
import pytest
from support.made_up_log import DAYS, write_feed

from keras_smes.cli import main
from keras_smes.data import load, split_with_statistics
from keras_smes.training import OptimizerConfig, RunConfig, TrainingConfig, evaluate_run, load_run, train_run

pytestmark = pytest.mark.tensorflow
EXPERTS = {"num_experts": 4, "num_shared": 1, "num_private": 1, "expert_units": [8]}


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    return write_feed(tmp_path_factory.mktemp("feed"))


def config_of(feed, **training):
    return RunConfig(
        str(feed),
        experts=EXPERTS,
        optimizer=OptimizerConfig(learning_rate=0.01),
        training=TrainingConfig(**{"epochs": 1, "batch_size": 128, "monitor_rows": 0, **training}),
    )


@pytest.fixture(scope="module")
def run(feed):
    train_run(config_of(feed), feed.parent / "run")
    return feed.parent / "run"


def test_a_run_of_the_log_is_measured_on_its_last_days(run, feed):
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["split"]["test"]["first_date"] == str(DAYS[3])
    assert set(metrics["tasks"]) == {"click", "watch_seconds"}
    assert metrics["tasks"]["click"]["rows"] == metrics["split"]["test"]["rows"] == 600
    assert metrics["tasks"]["click"]["gauc_users"] > 10
    assert evaluate_run(run)["tasks"] == metrics["tasks"]


def test_a_run_goes_on_with_the_days_that_came(run, feed, tmp_path):
    from keras_smes.incremental import continue_run

    metrics = continue_run(run, tmp_path / "next", from_date=DAYS[2])
    assert metrics["start"]["run"] == "run"
    assert metrics["split"]["train"]["first_date"] == str(DAYS[2])


def test_it_exports_and_answers_as_it_scored(run, feed, tmp_path):
    pytest.importorskip("tensorflow_serving", reason='needs the extra "serving"')
    import tensorflow as tf

    assert main(["export", str(run), "--to", str(tmp_path / "models"), "--batch-sizes", "4"]) == 0
    ranker, _ = load_run(run)
    columns = {
        name: values[:4] for name, values in split_with_statistics(load(str(feed))).test.columns().items()
    }
    tensors = {name: tf.constant(values) for name, values in columns.items()}
    serve = tf.saved_model.load(str(tmp_path / "models" / "1")).signatures["serving_default"]
    served, expected = serve(**tensors), ranker(tensors)
    for task, scores in expected.items():
        np.testing.assert_allclose(served[task], scores, rtol=1e-5, atol=1e-6)


def test_rows_without_users_and_time_train_too(tmp_path):
    """Labels that one column tells: learned, and measured without GAUC, which there is none of."""
    rng = np.random.default_rng(0)
    code = rng.integers(0, 8, 4000)
    said = np.where(rng.random(4000) < code / 8, "50000+.", "- 50000.")
    pl.DataFrame({"code": code, "income": said}).write_parquet(tmp_path / "rows.parquet")
    yaml = tmp_path / "census.yaml"
    yaml.write_text(
        "files: rows.parquet\n"
        "tasks:\n- {kind: binary, name: rich, label: income, positive: ['50000+.']}\n"
        "split: {test_fraction: 0.25, by: hash, seed: 7}\n"
    )
    metrics = train_run(config_of(yaml, epochs=8), tmp_path / "run")
    test = metrics["tasks"]["rich"]
    assert test["gauc"] is None
    assert test["gauc_users"] == 0
    # The rate by code is the best score there is: its AUC, worked out on the same rows.
    metrics_of = pytest.importorskip("sklearn.metrics")
    parts = split_with_statistics(load(str(yaml)))
    best = metrics_of.roc_auc_score(parts.test.labels()["rich"], parts.test.columns()["code"])
    assert test["auc"] > best - 0.01


def test_a_weight_of_two_is_a_row_twice(tmp_path):
    """One step over all rows: the same weights as if the rows of weight 2 stood there twice."""
    rng = np.random.default_rng(1)
    click, weight = rng.integers(0, 2, 60), rng.integers(1, 3, 60)
    rows = pl.DataFrame({"x": rng.normal(size=60), "click": click, "w": weight})
    rows.write_parquet(tmp_path / "weighted.parquet")
    twice = pl.concat([rows, rows.filter(pl.col("w") == 2)]).with_columns(pl.lit(1).alias("w"))
    twice.write_parquet(tmp_path / "twice.parquet")
    found = []
    for name in ("weighted", "twice"):
        (tmp_path / f"{name}.yaml").write_text(
            f"files: {name}.parquet\ntasks: [click]\nweight: w\nsplit: {{test_files: rest.parquet}}\n"
            "features: [{kind: number, name: x, mean: 0.0, std: 1.0}]\n"
        )
        rows.write_parquet(tmp_path / "rest.parquet")
        config = config_of(tmp_path / f"{name}.yaml", batch_size=1000)
        config.experts["balance_weight"] = 0.0  # it counts rows, whatever they weigh
        train_run(config, tmp_path / name)
        ranker, _ = load_run(tmp_path / name)
        found.append([(weight.path, np.array(weight)) for weight in ranker.weights])
    for (path, values), (_, others) in zip(*found, strict=True):
        np.testing.assert_allclose(values, others, rtol=1e-4, atol=1e-6, err_msg=path)
