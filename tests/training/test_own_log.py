"""A team's own log, from its YAML to a served model: trained, evaluated, gone on from, exported."""

import json

import numpy as np
import polars as pl
import pytest
from support import processes
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

    options = ["--batch-sizes", "4", "--signatures", "serving_default"]
    assert main(["export", str(run), "--to", str(tmp_path / "models"), *options]) == 0
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


def write_skipping(folder, rows, skip, name):
    rows.write_parquet(folder / f"{name}.parquet")
    path = folder / f"{name}.yaml"
    path.write_text(
        f"files: {name}.parquet\ndate: day\nuser: user\ntasks: [click]\n{skip}"
        "features: [{kind: string_category, name: user, dim: 4}, {kind: number, name: x}]\n"
        "split: {test_days: 1}\n"
    )
    return path


def test_rows_that_training_skips_train_nothing_and_test_all_the_same(tmp_path):
    """The same weights and features as of files that lack them; the test rows are all there."""
    rng = np.random.default_rng(3)
    rows = pl.DataFrame(
        {
            "day": [f"2026-11-{day:02d}" for day in (1, 2, 3) for _ in range(80)],
            "user": [f"u{n}" for n in rng.integers(0, 30, 240)],
            "x": rng.normal(size=240),
            "click": rng.integers(0, 2, 240),
            "is_bot": rng.random(240) < 0.3,
        }
    )
    kept = rows.filter(~pl.col("is_bot") | (pl.col("day") == "2026-11-03")).drop("is_bot")
    found, trained = [], []
    for name, own, skip in (("all", rows, "skip_training: is_bot\n"), ("kept", kept, "")):
        path = write_skipping(tmp_path, own, skip, name)
        metrics = train_run(config_of(path, batch_size=32), tmp_path / name)
        trained.append(metrics["training"]["rows"])
        found.append((load_run(tmp_path / name)[0].get_weights(), metrics["tasks"]))
    assert trained == [len(kept) - 80] * 2
    assert found[0][1] == found[1][1]
    for values, others in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_array_equal(values, others)


def test_skipped_rows_are_in_the_past_of_others(tmp_path):
    rows = pl.DataFrame({"day": ["2026-11-01"] * 4 + ["2026-11-02"] * 2, "item": [1, 1, 1, 2, 1, 2]})
    rows = rows.with_columns(click=pl.Series([1, 0, 0, 1, 0, 1]), skip=pl.Series([1, 1, 0, 0, 0, 0]))
    rows.write_parquet(tmp_path / "rows.parquet")
    path = tmp_path / "log.yaml"
    path.write_text(
        "files: rows.parquet\ndate: day\ntasks: [click]\nskip_training: skip\n"
        "statistics: [{name: item, columns: [item]}]\n"
        "features: [{kind: integer_category, name: item, dim: 2}]\n"
        "split: {test_days: 1}\n"
    )
    parts = split_with_statistics(load(str(path)))
    np.testing.assert_allclose(parts.test.columns()["item_impressions"], np.log1p([3, 1]), rtol=1e-6)
    assert parts.train.to_train().frame["item"].to_list() == [1, 2]
    assert len(parts.test.to_train()) == 2


@pytest.mark.parametrize(
    ("skip", "message"),
    [
        ([1] * 20, "`skip_training` must leave rows to train on. Received: 'skip' is 1 in all 16"),
        ([0] * 19 + [2], r"`skip_training` column 'skip' must hold 0 or 1.*skip\[19\]=2"),
        ([0] * 19 + [None], r"`skip_training` column 'skip' must hold 0 or 1.*skip\[19\]"),
        (["yes"] * 20, r"`skip_training` column 'skip' must hold 0 or 1"),
    ],
)
def test_marks_of_skipped_rows_that_are_no_good_are_named(skip, message, tmp_path):
    times = range(1_793_500_800, 1_793_500_820)
    frame = pl.DataFrame({"t": times, "x": range(20), "click": [0, 1] * 10, "skip": skip})
    frame.write_parquet(tmp_path / "rows.parquet")
    path = tmp_path / "log.yaml"
    path.write_text("files: rows.parquet\ntime: {column: t, unit: s}\ntasks: [click]\nskip_training: skip\n")
    with pytest.raises(ValueError, match=message):
        split_with_statistics(load(str(path))).train.to_train()


def test_a_run_of_requests_says_how_they_are_ordered(tmp_path, capsys):
    rng = np.random.default_rng(8)
    request = np.repeat(np.arange(60), 5)
    frame = pl.DataFrame({"rid": [f"r{n}" for n in request], "t": 1_793_500_800 + request * 3600})
    frame = frame.with_columns(x=rng.normal(size=300), click=rng.integers(0, 2, 300))
    frame.write_parquet(tmp_path / "rows.parquet")
    path = tmp_path / "log.yaml"
    path.write_text("files: rows.parquet\ntime: {column: t, unit: s}\nrequest: rid\ntasks: [click]\n")
    assert load(str(path)).schema.names == ["x"], "a request is no feature"
    assert main(["train", "--data", str(path), "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())["tasks"]["click"]
    test = split_with_statistics(load(str(path))).test.frame
    rates = test.group_by("rid").agg(pl.col("click").mean())["click"]
    assert figures["requests"] == rates.is_between(0, 1, "none").sum() > 0
    assert "req. AUC" in capsys.readouterr().out
    assert main(["score", str(tmp_path / "run"), "--out", str(tmp_path / "scores")]) == 0
    assert pl.read_parquet(tmp_path / "scores" / "*.parquet").columns[:2] == ["rid", "t"]


ON_JAX = """
import json, sys
import polars as pl
from keras_smes.cli import main
log, folder = sys.argv[1:]
assert main(["train", "--data", log, "--epochs", "1", "--out", f"{folder}/run"]) == 0
assert main(["evaluate", f"{folder}/run", "--json", f"{folder}/again.json"]) == 0
metrics, again = (json.load(open(f"{folder}/{name}.json")) for name in ("run/metrics", "again"))
assert again["tasks"] == metrics["tasks"]
assert main(["score", f"{folder}/run", "--out", f"{folder}/scores"]) == 0
assert pl.read_parquet(f"{folder}/scores/*.parquet")["click"].is_between(0, 1).all()
"""


def test_a_log_with_strings_is_trained_evaluated_and_scored_on_jax(tmp_path):
    pytest.importorskip("jax", reason="needs JAX")
    rng = np.random.default_rng(4)
    rows = pl.DataFrame({"day": [f"2026-11-0{day}" for day in (1, 2, 3) for _ in range(40)]})
    rows = rows.with_columns(user=pl.Series([f"u{n}" for n in rng.integers(0, 9, 120)]))
    rows = rows.with_columns(x=rng.normal(size=120), click=rng.integers(0, 2, 120))
    path = write_skipping(tmp_path, rows, "", "log")
    done = processes.run(ON_JAX, (path, tmp_path), tmp_path / "log.txt", KERAS_BACKEND="jax")
    assert done.wait() == 0, done.output[-2000:]
