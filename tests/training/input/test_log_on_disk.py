"""A log that takes more than its `memory` is trained on from disk: the same runs as in memory."""

import dataclasses
import datetime
import json

import pytest
from support.made_up_log import DAYS, write_feed

from keras_smes.data import Interactions, StoredInteractions, load_rows, tables_as_of
from keras_smes.data.split_config import cut
from keras_smes.experiments import Experiment
from keras_smes.experiments.measure import Contender, read_rows
from keras_smes.incremental import Days, continue_run, validate_progressively
from keras_smes.incremental.quality_gate import metrics_of_newest
from keras_smes.training import (
    OptimizerConfig,
    RunConfig,
    RunOptions,
    SplitConfig,
    TrainingConfig,
    ValidationConfig,
    evaluate_run,
    load_run,
    train_run,
)

pytestmark = pytest.mark.tensorflow
QUIET = RunOptions(verbose=0)


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """The same log twice, by the memory that its YAML allows."""
    folder = tmp_path_factory.mktemp("feed")
    path = write_feed(folder)
    small = folder / "small.yaml"
    small.write_text(path.read_text().replace("memory: 2GB", "memory: 10KB"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_SMES_CACHE", str(folder / "cache"))
        yield {"memory": path, "disk": small}


def config_of(log, **training):
    return RunConfig(
        str(log),
        experts={"num_experts": 4, "num_shared": 1, "num_private": 1, "expert_units": [8]},
        optimizer=OptimizerConfig(learning_rate=0.01),
        training=TrainingConfig(**{"epochs": 1, "batch_size": 128, "monitor_rows": 0, **training}),
    )


def outcome(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    kept = {name: metrics[name] for name in ("unusual", "tasks", "parameters", "history")}
    split = {part: metrics["split"][part] for part in ("train", "test")}
    weights = [weights.tobytes() for weights in load_run(folder)[0].get_weights()]
    return json.dumps(kept | {"split": split}), weights


def test_the_memory_that_a_log_allows_decides_where_its_rows_are(logs):
    assert isinstance(load_rows(str(logs["memory"])), Interactions)
    assert isinstance(load_rows(str(logs["disk"])), StoredInteractions)


def test_train_evaluate_and_go_on_as_in_memory(logs, tmp_path):
    found = {}
    for where, log in logs.items():
        folder = tmp_path / where
        config = config_of(log, validation=ValidationConfig(days=1))
        train_run(config, folder / "run", options=QUIET)
        evaluated = evaluate_run(folder / "run", first=DAYS[-1])["tasks"]
        changes = {"split": dataclasses.asdict(SplitConfig(test_days=1))}
        continue_run(folder / "run", folder / "next", changes, options=QUIET)
        found[where] = outcome(folder / "run"), json.dumps(evaluated), outcome(folder / "next")
    assert found["disk"] == found["memory"]


def test_days_are_validated_progressively_as_in_memory(logs, tmp_path):
    days = Days(DAYS[1], DAYS[-1])
    found = {}
    for where, log in logs.items():
        result = validate_progressively(config_of(log), tmp_path / where, days, figures=False, options=QUIET)
        found[where] = [(day["rows"], day["tasks"], day["stale"]) for day in result["days"]]
    assert json.dumps(found["disk"]) == json.dumps(found["memory"])
    assert datetime.date.fromisoformat(result["days"][-1]["test_day"]) == DAYS[-1]


def test_an_experiment_measures_as_in_memory(logs):
    found = {}
    for where, log in logs.items():
        config = config_of(log)
        experiment = Experiment(
            name="feed",
            question="?",
            data=str(log),
            seeds=[0],
            common={"training": {"epochs": 1, "batch_size": 128, "monitor_rows": 0}},
            models={"smes": {"experts": dict(config.experts)}},
        )
        measured = Contender(experiment.runs()[0].config, read_rows(experiment)).measure(0, candidates=3)
        assert measured.pop("speed")["latency_ms"] > 0
        found[where] = json.dumps(measured)
    assert found["disk"] == found["memory"]


def write_version(folder):
    """Stands for an exported version: scores by a feature alone."""
    import tensorflow as tf

    module = tf.Module()
    module.call = tf.function(
        lambda price: {"click": tf.nn.sigmoid(tf.where(tf.math.is_nan(price), 0.0, price) / 30)},
        input_signature=[tf.TensorSpec([None], tf.float32, name="price")],
    )
    tf.saved_model.save(module, str(folder / "1"), signatures={"serving_default": module.call})


def test_the_version_before_is_measured_as_in_memory(logs, tmp_path):
    write_version(tmp_path)
    parts = {where: cut(load_rows(str(log)), SplitConfig()) for where, log in logs.items()}
    found = {where: json.dumps(metrics_of_newest(tmp_path, own.test)) for where, own in parts.items()}
    assert found["disk"] == found["memory"]
    assert json.loads(found["disk"])["click"]["rows"] == len(parts["memory"].test)


def test_feature_tables_are_those_of_memory_if_their_columns_fit(logs):
    rows = {where: load_rows(str(log)) for where, log in logs.items()}
    with pytest.raises(
        ValueError, match=r"`memory` must hold the columns.* of feed are.*Received: memory=10000, 1500 rows"
    ):
        tables_as_of(rows["disk"], DAYS[-1])
    found = [tables_as_of(rows["disk"].with_roles(memory=10**9), DAYS[-1])]
    found.append(tables_as_of(rows["memory"], DAYS[-1]))
    assert found[0].facts == found[1].facts
    for ours, theirs in zip(*(own.tables for own in found), strict=True):
        assert ours.rows.equals(theirs.rows)
        assert ours.default == theirs.default


def test_the_memory_of_a_configuration_goes_over_that_of_the_log(logs):
    config = dataclasses.replace(config_of(logs["memory"]), memory="10KB")
    assert isinstance(config.load(), StoredInteractions)
    assert isinstance(dataclasses.replace(config_of(logs["disk"]), memory="1GB").load(), Interactions)
    with pytest.raises(ValueError, match=r"`memory` must be bytes, or such as 2GB. Received: memory='much'"):
        dataclasses.replace(config, memory="much")
