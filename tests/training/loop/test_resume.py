"""Processes that are killed for good: what is trained after them equals, to the bit, an undisturbed run."""

import json
import random
import signal
import time

import numpy as np
import pytest
from support.processes import TRAIN, Process

from keras_smes.cli import main
from keras_smes.training import load_run

pytestmark = pytest.mark.tensorflow

CONFIG = {
    "data": "simulated",
    "data_options": {
        "rows": 3000,
        "users": 60,
        "videos": 80,
        "days": 5,
        "seed": 3,
        "groups": {"engagement": {"click": 0.4, "like": 0.2}},
    },
    "model": "smes",
    "experts": {"num_experts": 4, "num_shared": 1, "expert_units": [8, 4]},
    "encoder": {"units": [8]},
    # A balance with a seed, weights that are selected, means, moments: all that there is to lose.
    "training": {
        "epochs": 3,
        "batch_size": 32,
        "steps_per_execution": 4,
        "loss_balance": "pcgrad",
        "validation": {"days": 1},
        "select": {"task": "click", "metric": "auc"},
    },
}


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "run.json"
    path.write_text(json.dumps(CONFIG))
    return path


def command(config_file, out, *options):
    given = ["--data", "simulated", "--config", str(config_file), "--out", str(out)]
    return ["train", *given, "--checkpoint-minutes", "0", *options]


@pytest.fixture(scope="module")
def undisturbed(config_file, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert main(command(config_file, out)) == 0
    return out


def start(config_file, out):
    return Process(TRAIN, command(config_file, out), out.parent / "log")


def kill_at(process, condition):
    """Kills a process at the moment a condition holds; whether it was still alive."""
    while process.is_running and not condition():
        time.sleep(0.0005)
    process.kill()
    return process.wait() == -signal.SIGKILL


def test_a_run_killed_at_any_moment_ends_in_the_same_bits(config_file, undisturbed, tmp_path):
    out, moments = tmp_path / "run", random.Random(20260209)
    folder = out / "checkpoints"

    def is_writing():
        return any(folder.glob(".partial-*"))

    def after(count, seconds):
        """Once so many more checkpoints have come, and some time."""
        seen, began = {path.name for path in folder.glob("step-*")}, []

        def holds():
            try:
                seen.update(path.name for path in folder.glob("step-*"))
            except FileNotFoundError:
                return False
            if len(seen) >= count and not began:
                began.append(time.monotonic())
            return bool(began) and time.monotonic() - began[0] >= seconds

        return holds

    assert kill_at(start(config_file, out), is_writing)
    assert kill_at(start(config_file, out), after(moments.randrange(8, 20), moments.random() / 20))
    assert list(folder.glob("step-*.npz"))
    assert not (out / "metrics.json").exists()
    assert main(command(config_file, out)) == 0  # the third process, this one, ends what they began

    ours, theirs = (load_run(run)[0] for run in (out, undisturbed))
    for mine, other in zip(ours.variables, theirs.variables, strict=True):
        assert np.array(mine).tobytes() == np.array(other).tobytes(), mine.path
    figures, expected = (json.loads((run / "metrics.json").read_text()) for run in (out, undisturbed))
    for part in ("tasks", "history", "routing", "parameters"):
        assert figures[part] == expected[part]
    assert figures["training"]["selected_epoch"] == expected["training"]["selected_epoch"]
    assert (out / "routing.csv").read_bytes() == (undisturbed / "routing.csv").read_bytes()
    assert not folder.exists()


def test_another_configuration_is_refused_until_told_to_start_over(config_file, tmp_path, capsys):
    from keras_smes.training import Checkpointer, RunConfig

    out = tmp_path / "run"
    session = Checkpointer(out / "checkpoints", RunConfig.from_dict({**CONFIG, "seed": 8}).to_dict())
    session.resume("digest")
    session.write(1, {}, {"model/0": np.zeros(1)})
    assert main(command(config_file, out, "--epochs", "1")) == 2
    assert "['training.epochs', 'seed']" in capsys.readouterr().err
    assert main(command(config_file, out, "--epochs", "1", "--fresh", "--keep-checkpoints")) == 0
    assert len(list((out / "checkpoints").glob("step-*.npz"))) == 2


def test_the_run_says_how_it_was_made(undisturbed):
    metrics = json.loads((undisturbed / "metrics.json").read_text())
    training, environment = metrics["training"], metrics["environment"]
    assert training["epochs"] == 3
    assert training["selected_epoch"] in (1, 2, 3)
    assert training["rows_per_second"] == pytest.approx(
        training["rows"] * training["epochs"] / training["seconds"], rel=0.01
    )
    assert {"keras", "tensorflow", "numpy"} <= set(environment["packages"])
    assert len(metrics["history"]["val_click_loss"]) == 3
    assert len(metrics["history"]["experts/dead_experts"]) == 3


def test_choosing_by_the_test_rows_is_refused(config_file, tmp_path, capsys):
    config = json.loads(config_file.read_text())
    del config["training"]["validation"]
    (tmp_path / "run.json").write_text(json.dumps(config))
    assert main(command(tmp_path / "run.json", tmp_path / "run")) == 2
    assert "training.validation" in capsys.readouterr().err
