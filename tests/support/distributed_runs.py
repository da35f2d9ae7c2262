"""One small run, on one device and with plain gradient steps: what all engines are held against."""

import json

import numpy as np
import pytest

from keras_smes.training import load_run

CONFIG = {
    "data": "simulated",
    "data_options": {
        "rows": 2000,
        "users": 60,
        "videos": 80,
        "days": 5,
        "seed": 3,
        "groups": {"engagement": {"click": 0.4, "like": 0.05}},
    },
    "experts": {"num_experts": 4, "num_shared": 1, "expert_units": [8, 4]},
    "encoder": {"units": [8]},
    "optimizer": {"name": "sgd", "embeddings": "sgd", "learning_rate": 0.05, "schedule": "constant"},
    # 26 steps an epoch: an odd batch, and a last one that is smaller still.
    "training": {"epochs": 2, "batch_size": 63, "steps_per_execution": 4},
}


def write_config(folder, **changes):
    path = folder / "run.json"
    path.write_text(json.dumps({**CONFIG, **changes}))
    return path


def command(config_file, out, *options):
    return ["train", "--data", "simulated", "--config", config_file, "--out", out, *options]


def weights(run):
    """A run's weights in their order: names of layers count on within a process."""
    return [np.array(variable) for variable in load_run(run)[0].get_layer("core").variables]


def figures(run):
    return json.loads((run / "metrics.json").read_text())


def flat(figures, prefix=""):
    """Nested figures as numbers and lists by path: `pytest.approx` compares no dicts of dicts."""
    paths = {}
    for name, value in figures.items():
        paths |= flat(value, f"{prefix}{name}/") if isinstance(value, dict) else {prefix + name: value}
    return paths


def assert_same_outcome(run, reference, tolerance=1e-5):
    """Weights, losses of all epochs and figures of the test rows are those of another run."""
    for ours, theirs in zip(weights(run), weights(reference), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    ours, theirs = figures(run), figures(reference)
    assert ours["history"].keys() == theirs["history"].keys()
    for name, losses in theirs["history"].items():
        assert ours["history"][name] == pytest.approx(losses, rel=1e-5), name
    for name, values in flat(theirs["tasks"]).items():
        assert flat(ours["tasks"])[name] == pytest.approx(values, rel=1e-4), name
    for name in ("expert_load", "union_mean", "router_entropy", "task_overlap"):
        assert ours["routing"][name] == pytest.approx(theirs["routing"][name], rel=1e-4), name
