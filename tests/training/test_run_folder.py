"""A run's folder: of one training, by one process at a time, and rejected wherever it isn't whole."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from support.processes import hold_lock

pytest.importorskip("polars", reason='needs the extra "data"')

from keras_smes.cli import main
from keras_smes.training import RunConfig, RunOptions, load_run, train_run
from keras_smes.training.run_folder import FILES

pytestmark = pytest.mark.tensorflow

CONFIG = {
    "data": "simulated",
    "data_options": {"rows": 3000, "users": 60, "videos": 80, "days": 5, "groups": {"g": {"click": 0.4}}},
    "experts": {"num_experts": 4, "num_shared": 1, "expert_units": [4]},
    "encoder": {"units": [8]},
    "optimizer": {"schedule": "constant", "learning_rate": 0.05},
    "training": {"epochs": 1, "batch_size": 64, "validation": {"days": 1}},
}
QUIET = RunOptions(verbose=0)


def trained(out, **changes):
    values = {**CONFIG, **changes}
    train_run(RunConfig.from_dict(values), out, options=QUIET)
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(CONFIG))
    return path


def test_the_folder_holds_the_files_of_a_run_and_nothing_else(run):
    assert {path.name for path in run.iterdir()} == set(FILES)


@pytest.fixture
def half(run, tmp_path):
    """A run as a process leaves it that is killed while it replaces it."""
    shutil.copytree(run, tmp_path / "half")
    (tmp_path / "half" / "metrics.json").unlink()
    return tmp_path / "half"


def commands(half):
    out = str(half.parent / "other")
    return {
        "evaluate": ["evaluate", str(half)],
        "export": ["export", str(half), "--to", out],
        "gate": ["export", str(half), "--to", out, "--gate", "click", "auc", "--at-least", "0.1"],
        "within": ["export", str(half), "--to", out, "--gate", "click", "auc", "--within", "0.1"],
        "train": ["train", "--data", "simulated", "--from", str(half), "--out", out],
        "progressive": ["progressive", "--data", "simulated", "--from", str(half), "--out", out],
        "report": ["report", str(half), "--out", out],
        "plan": ["plan", str(half)],
    }


@pytest.mark.parametrize(
    "name", ["evaluate", "export", "gate", "within", "train", "progressive", "report", "plan"]
)
def test_a_run_that_is_not_whole_is_rejected_by_name(half, capsys, name):
    assert main(commands(half)[name]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "metrics.json" in error
    assert str(half) in error
    assert not (half.parent / "other").exists()


def test_a_finished_run_is_replaced_with_all_its_files(run, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(run, out)
    trained(out, model="shared_bottom", experts={"expert_units": [4]})
    assert {path.name for path in out.iterdir()} == set(FILES) - {"routing.csv"}  # it doesn't route
    assert load_run(out)[1].model == "shared_bottom"


def test_while_another_is_trained_in_its_folder_a_finished_run_stays_as_it_is(run, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(run, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(FloatingPointError):
        trained(out, optimizer={"name": "sgd", "learning_rate": 1e38})
    assert {name: (out / name).read_bytes() for name in before} == before


def test_a_second_training_of_a_folder_is_rejected_by_the_name_of_the_first(config_file, tmp_path, capsys):
    first = hold_lock(tmp_path / "log", tmp_path / "run")
    command = ["train", "--data", "simulated", "--config", str(config_file), "--out", str(tmp_path / "run")]
    assert main(command) == 2
    assert f"held by process {first.pid} on " in capsys.readouterr().err
    first.log.unlink()
    assert first.wait() == 0
    assert main(command) == 0


WITH_LIMIT = """
import resource, sys
size = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # a larger file is an error, as on a full disk
from keras_smes.cli import main
sys.exit(main(sys.argv[2:]))
"""


def with_limit(size, *command):
    """What a command says of its last file, where no file may be larger than some bytes."""
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    answer = subprocess.run(
        [sys.executable, "-c", WITH_LIMIT, str(size), *map(str, command)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr
    return answer.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("size", "name"), [(200, "checkpoints/routing.csv"), (8000, "checkpoints/step-000000000038.npz")]
)
def test_training_without_space_names_the_file(config_file, tmp_path, size, name):
    out = tmp_path / "run"
    said = with_limit(size, "train", "--data", "simulated", "--config", config_file, "--out", out)
    assert said == f"keras-smes train: [Errno 27] File too large: '{out / name}'"
    assert not list(out.rglob(".partial-*"))


def test_exporting_without_space_names_the_file(run, tmp_path):
    said = with_limit(8000, "export", run, "--to", tmp_path / "models")
    assert said.startswith("keras-smes export: ")
    assert str(tmp_path / "models") in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_optimizer_is_that_of_the_selected_epoch(tmp_path):
    select = {**CONFIG["training"], "epochs": 4, "select": {"task": "click", "metric": "logloss"}}
    chosen = trained(tmp_path / "chosen", training=select)
    epoch = json.loads((chosen / "metrics.json").read_text())["training"]["selected_epoch"]
    assert epoch < 4
    # With a constant rate, a training of so many epochs is the beginning of that one.
    short = trained(tmp_path / "short", training={**CONFIG["training"], "epochs": epoch})
    with np.load(chosen / "training.npz") as ours, np.load(short / "training.npz") as theirs:
        assert ours.files == theirs.files
        assert ours["steps"] == theirs["steps"]
        for name in ours.files:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    for mine, other in zip(*(load_run(out)[0].variables for out in (chosen, short)), strict=True):
        np.testing.assert_array_equal(mine, other)
