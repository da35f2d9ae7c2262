"""From raw impressions to a gRPC response: `make quickstart` runs this.

Trains SMES and a dense MMoE of equal size on real rows, compares them, exports SMES, serves it in
another process, sends requests over gRPC, and verifies that the served scores equal the trained model's.
"""

import argparse
import contextlib
import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from keras_smes import viz
from keras_smes.cli import main as keras_smes
from keras_smes.data import Interactions, load, split_with_statistics
from keras_smes.formatting import metric, text_table, title
from keras_smes.training import RunConfig, load_run
from keras_smes.training.input.preprocessing import preprocess
from keras_smes_serving.client import Client

COLUMNS = ("auc", "gauc", "logloss")
MODELS = {"smes": "SMES", "mmoe": "dense MMoE"}
SERVED_ROWS = 500
TOLERANCE = 1e-5


def main() -> int:
    arguments = _arguments()
    out, started = Path(arguments.out), time.monotonic()
    metrics = {model: _train(model, arguments, out / model) for model in MODELS}
    _heading("SMES beside a dense MMoE of equal size")
    _print_comparison(metrics, {model: _config(out, model).experts for model in MODELS})
    _heading("Export and serve")
    _run("export", str(out / "smes"), "--to", str(out / "models" / "smes"))
    options = _config(out, "smes").data_options
    rows = split_with_statistics(load(arguments.data, arguments.data_dir, **options)).test
    difference = _serve_and_compare(out, rows)
    _write_metrics(out, metrics, difference)
    _draw(out, metrics)
    _print_next(out, time.monotonic() - started)
    return 0 if difference <= TOLERANCE else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="movielens-100k")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", default="runs/quickstart")
    parser.add_argument("--epochs", type=int)
    return parser.parse_args()


def _run(*argv: str) -> None:
    print(f"$ keras-smes {' '.join(argv)}", flush=True)
    if code := keras_smes(argv):
        sys.exit(code)


def _train(model: str, arguments: argparse.Namespace, run: Path) -> dict[str, Any]:
    _heading(f"Train {MODELS[model]} on {arguments.data}")
    options = ["--data", arguments.data, "--model", model, "--out", str(run)]
    if arguments.data_dir:
        options += ["--data-dir", arguments.data_dir]
    if arguments.epochs:
        options += ["--epochs", str(arguments.epochs)]
    _run("train", *options)
    metrics: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return metrics


def _config(out: Path, model: str) -> RunConfig:
    return RunConfig.read(out / model / "config.json")


def _print_comparison(metrics: Mapping[str, Any], experts: Mapping[str, Mapping[str, Any]]) -> None:
    rows = [
        [task, name, *(metric(column, metrics[model]["tasks"][task][column]) for column in COLUMNS)]
        for task in metrics["smes"]["tasks"]
        for model, name in MODELS.items()
    ]
    print(text_table(["task", "model", *map(title, COLUMNS)], rows, names=2))
    routing = metrics["smes"]["routing"]
    sizes = {model: metrics[model]["parameters"]["experts"] for model in MODELS}
    always = experts["smes"].get("num_always", 0)
    print(
        f"\nexecuted experts per row: SMES {always + routing['union_mean']:.2f} "
        f"of {always + routing['num_experts']}, dense MMoE {experts['mmoe']['num_experts']}\n"
        f"parameters of the experts: SMES {sizes['smes']:,}, dense MMoE {sizes['mmoe']:,}\n"
        f"expert load in SMES: maximum over mean {routing['load_max_over_mean']:.2f}, "
        f"dead experts {routing['dead_experts']} of {routing['num_experts']}"
    )


def _serve_and_compare(out: Path, rows: Interactions) -> float:
    """Scores real rows with the server; returns the largest difference from the model in process."""
    columns = {name: values[:SERVED_ROWS] for name, values in rows.columns().items()}
    ranker, _ = load_run(out / "smes")
    logits = ranker.get_layer("core").predict(preprocess(ranker, columns), verbose=0)
    expected = {task: np.asarray(score) for task, score in ranker.get_layer("scores")(logits).items()}
    with _server(out / "models" / "smes") as address, Client(address) as client:
        started = time.perf_counter()
        served = client.predict("smes", columns)
        milliseconds = 1000 * (time.perf_counter() - started)
    difference = max(float(np.abs(served[task] - expected[task]).max()) for task in expected)
    print(
        f"{address} scored {SERVED_ROWS} real rows over gRPC, first response in {milliseconds:.0f} ms\n"
        f"largest difference between served and in-process scores: {difference:.1e} "
        f"({'equal' if difference <= TOLERANCE else 'NOT EQUAL'} within {TOLERANCE:.0e})"
    )
    return difference


@contextlib.contextmanager
def _server(model_folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = ["--model_name=smes", f"--model_base_path={model_folder.resolve()}", f"--port={port}"]
    print(f"$ keras-smes serve {' '.join(flags)} &", flush=True)
    command = [sys.executable, "-m", "keras_smes", "serve", *flags]
    with (model_folder.parent / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:  # ends if the server stops
            if line.startswith("Running gRPC ModelServer"):
                break
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def _write_metrics(out: Path, metrics: Mapping[str, Any], difference: float) -> None:
    values = {**metrics["smes"], "baseline": metrics["mmoe"], "served_max_abs_diff": difference}
    (out / "metrics.json").write_text(json.dumps(values, indent=2) + "\n")


def _draw(out: Path, metrics: Mapping[str, Any]) -> None:
    routing, tasks = metrics["smes"]["routing"], list(metrics["smes"]["tasks"])
    curves = None
    for model, name in MODELS.items():
        curves = viz.training_curves(_task_losses(metrics[model]["history"], tasks), curves, label=name)
    plt.savefig(out / "training_curves.png", dpi=150)
    viz.expert_load(routing["expert_load"])
    plt.savefig(out / "expert_load.png", dpi=150)
    viz.task_expert_heatmap(routing["task_expert_share"], tasks)
    plt.savefig(out / "task_expert_heatmap.png", dpi=150)


def _task_losses(history: Mapping[str, Any], tasks: list[str]) -> dict[str, list[float]]:
    """Sum of the tasks' losses: `loss` also includes the balance loss, which MMoE doesn't have."""
    return {
        f"{part}loss": [
            sum(epoch) for epoch in zip(*(history[f"{part}{t}_loss"] for t in tasks), strict=True)
        ]
        for part in ("", "val_")
    }


def _print_next(out: Path, seconds: float) -> None:
    _heading(f"Done in {math.ceil(seconds)} s")
    models = (out / "models" / "smes").resolve()
    print(
        f"plots of the run: {out}/training_curves.png, expert_load.png, task_expert_heatmap.png\n"
        f"all metrics as JSON: {out}/metrics.json\n\n"
        "Next:\n"
        "  source .venv/bin/activate   # so that the shell finds keras-smes\n"
        f"  keras-smes serve --model_name=smes --model_base_path={models} --port=8500\n"
        "  # in another terminal\n"
        f"  keras-smes predict --address localhost:8500 --model smes --rows {out}/smes/rows.jsonl\n"
        "  and compose a model of your own: README.md, 'The layer'"
    )


def _heading(text: str) -> None:
    print(f"\n== {text} ==", flush=True)


if __name__ == "__main__":
    sys.exit(main())
