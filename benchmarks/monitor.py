"""What it costs to leave `RoutingMonitor` on: `fit` with and without it, in turns.

    python benchmarks/monitor.py [--json FILE]

A small ranker's core is fitted on rows in memory, two epochs a turn, with the monitor writing its CSV file
and TensorBoard's scalars, histograms and pictures, or without any callback. The quotient is that of a turn
with the monitor to the turn without it next to it; the share is the monitor's own time in its turns, from
building its probe on.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from support.harness import machine, print_table

from keras_smes import SMES, TaskTower
from keras_smes.diagnostics import RoutingMonitor

BATCH, WIDTH, EPOCHS = 512, 128, 2
SIZES = {"16": (6, 16), "64": (6, 64), "256": (12, 256)}  # tasks and experts


class Timed(RoutingMonitor):
    """Notes the seconds that the monitor itself takes."""

    seconds = 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        started = time.perf_counter()
        super().on_train_begin(logs)
        self.seconds += time.perf_counter() - started

    def measure(self, epoch: int) -> dict[str, float]:
        started = time.perf_counter()
        figures = super().measure(epoch)
        self.seconds += time.perf_counter() - started
        return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=["16", "64"], help="experts")
    parser.add_argument("--rows", type=int, default=100_000, help="rows an epoch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    arguments = parser.parse_args()
    print(json.dumps(machine()))
    table = []
    for size in arguments.sizes:
        table.append(measure(*SIZES[size], arguments.rows, arguments.rounds))
        print(table[-1], flush=True)
    print_table(table, list(table[0]))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "rows": table}, indent=1) + "\n")


def measure(num_tasks: int, num_experts: int, rows: int, rounds: int) -> dict[str, Any]:
    model, features, batches = make(num_tasks, num_experts, rows)
    quotients, shares, seconds = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds + 1):
            monitor = Timed(features, csv=f"{folder}/{turn}.csv", tensorboard=f"{folder}/{turn}")
            watched, alone = fit(model, batches, [monitor]), fit(model, batches, [])
            if turn:  # the first builds the graph of the step
                quotients.append(watched / alone)
                shares.append(monitor.seconds / watched)
                seconds.append(alone / EPOCHS)
    low, high = np.quantile(quotients, [0.1, 0.9])
    return {
        "tasks": num_tasks,
        "experts": num_experts,
        "rows an epoch": rows,
        "epoch without, s": round(float(np.median(seconds)), 2),
        "with / without": round(float(np.median(quotients)), 3),
        "first to last decile": f"{low:.3f} to {high:.3f}",
        "monitor's share of the time": f"{np.median(shares):.2%}",
    }


def make(num_tasks: int, num_experts: int, rows: int) -> tuple[keras.Model, np.ndarray, tf.data.Dataset]:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((WIDTH,))
    h = keras.layers.Dense(WIDTH, activation="relu")(inputs)
    mixed = SMES(num_tasks, num_experts, 2, 1, expert_units=(64, 32), name="experts")(h)
    logits = {f"task_{t}": TaskTower((16,), name=f"task_{t}")(mixed[:, t]) for t in range(num_tasks)}
    model = keras.Model(inputs, logits)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile("adam", loss=dict.fromkeys(logits, loss), steps_per_execution=16)
    random = np.random.default_rng(0)
    features = random.normal(size=(rows, WIDTH)).astype("float32")
    labels = {name: random.integers(0, 2, rows).astype("float32") for name in logits}
    return model, features, tf.data.Dataset.from_tensor_slices((features, labels)).batch(BATCH).cache()


def fit(model: keras.Model, batches: tf.data.Dataset, callbacks: list[keras.callbacks.Callback]) -> float:
    started = time.perf_counter()
    model.fit(batches, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
