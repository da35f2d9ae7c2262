"""A log that takes more than its `memory` is trained on from disk: the same runs as in memory."""

import dataclasses
import datetime
import json

import pytest
from support.made_up_log import DAYS, write_feed

from keras_smes.data import Interactions, StoredInteractions, load_rows
from keras_smes.incremental import Days, continue_run, validate_progressively
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
