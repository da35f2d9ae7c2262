"""The sweep of batching parameters, in small."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from keras_smes_serving.load_test import poisson_arrivals

SCRIPT = Path(__file__).parents[2] / "deploy" / "sweep.py"


@pytest.fixture(scope="module")
def sweep():
    spec = importlib.util.spec_from_file_location("sweep", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def flags(base_path, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"user": 7, "city": "oslo", "dense": [1, 2, 3, 4]}) + "\n")
    return [f"--model_base_path={base_path}", f"--rows={rows}", "--candidates=3", "--rate=30"]


def test_a_choice_is_served_and_measured(sweep, flags, tmp_path, capsys):
    out = tmp_path / "sweep.json"
    choice = ["--batch-sizes=8", "--timeouts=500", "--threads=1"]
    sweep.main([*flags, *choice, "--seconds=0.5", "--warmup=0.2", f"--json={out}"])
    (result,) = json.loads(out.read_text())
    assert [result[name] for name in sweep.PARAMETERS] == [8, 500, 1]
    assert result["codes"] == {"OK": len(poisson_arrivals(30, 0.5))}
    assert result["rows_per_second"] == pytest.approx(3 * result["answers_per_second"], rel=0.01)
    header, line = capsys.readouterr().out.splitlines()
    assert len(header) == len(line)
    figures = [*result["latency_ms"].values(), result["send_lag_ms"]["p99"], result["answers_per_second"]]
    assert line.split()[:3] == ["8", "500", "1"]
    assert {float(cell) for cell in line.split()[3:-1]} <= set(figures)
    assert line.split()[-1] == "0"


def test_every_combination_is_tried_and_no_batching_once(sweep, flags):
    asked = sweep.parsed([*flags, "--batch-sizes", "0", "8", "9", "--timeouts", "0", "5", "--threads", "1"])
    tried = [(0, 0, 0), (8, 0, 1), (8, 5, 1), (9, 0, 1), (9, 5, 1)]
    assert sweep.choices(asked) == tried


def test_what_could_not_be_served_is_refused_before_a_server_starts(sweep, flags, tmp_path, capsys):
    with pytest.raises(SystemExit):
        sweep.main([f"--model_base_path={tmp_path}", *flags[1:]])
    assert f"holds no version: {tmp_path}" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        sweep.main([*flags, "--batch-sizes", "0", "2"])
    assert "must take a request of 3 rows whole: [2]" in capsys.readouterr().err


def test_a_server_that_does_not_start_says_why(sweep, tmp_path):
    command = [sys.executable, "-c", "import sys; sys.exit('no such parameter')"]
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        with process, pytest.raises(SystemExit, match="exit code 1:\nno such parameter"):
            sweep.address_of(process, log)
