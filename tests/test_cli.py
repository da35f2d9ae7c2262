"""The whole path by its commands: train, evaluate, export, serve, predict."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("polars", reason='needs the extra "data"')
pytest.importorskip("tensorflow_serving", reason='needs the extra "serving"')

from keras_smes.cli import main

pytestmark = pytest.mark.tensorflow

CONFIG = {
    "data_options": {"rows": 4000, "users": 100, "videos": 150, "days": 6, "seed": 3},
    "experts": {"num_experts": 8, "num_shared": 1, "expert_units": [8, 4]},
    "encoder": {"units": [16]},
    "training": {"epochs": 5},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run made by the command line."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "config.json").write_text(json.dumps({**CONFIG, "data": "simulated"}))
    options = ["--config", str(folder / "config.json"), "--epochs", "1", "--seed", "4"]
    assert main(["train", *options, "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def models(run):
    """The folder of versions of the exported run."""
    folder = run.parent / "models" / "smes"
    assert main(["export", str(run), "--to", str(folder), "--version", "3"]) == 0
    return folder


@pytest.fixture(scope="module")
def address(models):
    """The address of a server of the exported run, in a process of its own."""
    flags = ["--model_name=smes", f"--model_base_path={models}", "--port=0"]
    command = [sys.executable, "-m", "keras_smes", "serve", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    ready = next(line for line in process.stdout if line.startswith("Running gRPC ModelServer"))
    yield f"127.0.0.1:{ready.split()[4].rsplit(':', 1)[1]}"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0


def test_train_writes_the_run(run):
    config = json.loads((run / "config.json").read_text())
    chosen = (config["experts"]["num_experts"], config["training"]["epochs"], config["seed"])
    assert chosen == (8, 1, 4)  # options beat the file
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["split"]["train"]["last_time_ms"] < metrics["split"]["test"]["first_time_ms"]
    for figures in metrics["tasks"].values():
        assert {"auc", "gauc", "logloss", "positives", "rows"} <= set(figures)
    assert metrics["routing"]["num_experts"] == 8
    assert 0 < metrics["parameters"]["experts"] < metrics["parameters"]["all"]
    for gates in metrics["instance"]["gates"].values():
        assert set(metrics["instance"]["shared"]) < {int(expert) for expert in gates}
        assert sum(gates.values()) == pytest.approx(1)


def test_evaluate_on_the_same_rows_gives_the_same_figures(run, capsys):
    trained = json.loads((run / "metrics.json").read_text())
    out = run.parent / "evaluation.json"
    assert main(["evaluate", str(run), "--json", str(out)]) == 0
    evaluated = json.loads(out.read_text())
    assert evaluated["tasks"] == trained["tasks"]
    assert evaluated["routing"] == trained["routing"]
    assert "GAUC" in capsys.readouterr().out


def test_train_and_evaluate_count_what_is_unusual(run, capsys):
    from keras_smes.data import simulate, split

    parts = split(simulate(**CONFIG["data_options"]))
    seen = parts.train.frame["user_id"].unique()
    strangers = int((~parts.test.frame["user_id"].is_in(seen)).sum())
    first_day = int((parts.train.frame["date"] == parts.train.frame["date"].min()).sum())
    unusual = json.loads((run / "metrics.json").read_text())["unusual"]
    assert unusual["test"] == {"user_id": {"unknown": strangers}}
    assert unusual["train"]["user_click_logodds"] == {"missing": first_day}
    assert main(["evaluate", str(run)]) == 0
    assert f"unusual values of test rows: user_id {strangers} unknown\n" in capsys.readouterr().out


def test_evaluate_on_dates(run):
    split = json.loads((run / "metrics.json").read_text())["split"]
    last = split["test"]["last_date"]
    out = run.parent / "last_day.json"
    assert main(["evaluate", str(run), "--from", last, "--to", last, "--json", str(out)]) == 0
    test = json.loads(out.read_text())["split"]["test"]
    assert (test["first_date"], test["last_date"]) == (last, last)


def test_predict_asks_the_server_for_the_rows_of_the_run(run, address, capsys):
    import tensorflow as tf

    from keras_smes.data import simulate, split_with_statistics
    from keras_smes.training import load_run

    asked = ["predict", "--address", address, "--model", "smes", "--rows", str(run / "rows.jsonl")]
    assert main(asked) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    rows = split_with_statistics(simulate(**CONFIG["data_options"])).test
    columns = {name: tf.constant(values[: len(printed)]) for name, values in rows.columns().items()}
    expected = load_run(run)[0](columns)
    assert len(printed) == 8
    for task in rows.task_names:
        np.testing.assert_allclose([line[task] for line in printed], expected[task], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"user_id": 1}', "`rows[0]`"),
        ("{user_id: 1}", "line 1"),
    ],
)
def test_predict_names_a_bad_row(address, capsys, tmp_path, line, message):
    (tmp_path / "rows.jsonl").write_text(line + "\n")
    assert (
        main(["predict", "--address", address, "--model", "smes", "--rows", str(tmp_path / "rows.jsonl")])
        == 2
    )
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["train", "--out", "x"],
            "`--data` must name a data set or the YAML of a log, or `--config` must have `data`. "
            "Received: --data=None, --config=None",
        ),
        (["train", "--data", "criteo", "--out", "x"], "name='criteo'"),
        (["train", "--data", "kuairand-pure", "--out", "x", "--data-dir", "nowhere"], "nowhere"),
        (["train", "--data", "simulated", "--out", "x", "--epochs", "0"], "epochs=0"),
        (["evaluate", "nowhere"], "nowhere"),
        (["export", "nowhere", "--to", "x"], "nowhere"),
        (
            ["predict", "--address", "127.0.0.1:1", "--model", "m", "--rows", "nowhere"],
            "`--rows` must be a file, or - for standard input. Received: nowhere",
        ),
        (["experiment", "nowhere.yaml"], "must be a JSON or YAML file. Received: nowhere.yaml"),
        (["predict", "--address", "127.0.0.1:1", "--model", "m", "--rows", os.devnull], "127.0.0.1:1"),
    ],
)
def test_mistakes_are_one_line_and_code_2(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_unknown_configuration_keys_are_refused(capsys, tmp_path):
    (tmp_path / "config.json").write_text('{"num_expert": 8}')
    options = [
        "--data",
        "simulated",
        "--config",
        str(tmp_path / "config.json"),
        "--out",
        str(tmp_path / "run"),
    ]
    assert main(["train", *options]) == 2
    assert "num_expert" in capsys.readouterr().err


def test_a_version_is_never_written_over(run, models, capsys):
    assert main(["export", str(run), "--to", str(models), "--version", "3"]) == 2
    assert "version=3" in capsys.readouterr().err


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out
    for command in ("train", "evaluate", "export", "serve", "predict"):
        assert command in listed


@pytest.mark.parametrize("flag", ["--nope", "-port=1", "+x", "--", "8500"])
def test_serve_leaves_all_arguments_to_the_server(flag, capsys):
    assert main(["serve", flag]) == 2
    assert f"Unknown argument: {flag}\n" in capsys.readouterr().err
    assert main(["serve", "--help"]) == 0
    assert "--model_base_path=" in capsys.readouterr().out


def test_a_command_writes_nothing_but_its_output():
    command = [sys.executable, "-m", "keras_smes", "--help"]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr == ""


def test_start_up_lines_are_dropped_for_commands_alone():
    from keras_smes.backend.quiet_start import is_command

    assert is_command(["python", "/usr/bin/keras-smes", "train"])
    assert is_command(["python", "-m", "keras_smes", "train"])
    assert not is_command(["python", "-m", "pytest", "keras_smes"])
    assert not is_command(["python"])
