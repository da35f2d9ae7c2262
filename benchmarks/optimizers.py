"""What a training step costs as the embedding table grows, and what Adam costs on dense weights.

    python benchmarks/optimizers.py [--json FILE]
    python benchmarks/optimizers.py --dense 1000000 6400000

A small ranker, one table of V rows of 16 columns and an MLP, is fitted on batches of 1024 x 10 ids, drawn
evenly: hardly one is met twice in a large table, which is the hardest case for caches. With `--units` and
no number there is no MLP: what is left is the look-up and the optimizer. All models exist at once and take
turns of some steps, so that what else happens on the machine happens to all of them. A time is that from
the end of one step of `model.fit` to the end of the next; medians are over the steps of all turns.

With `--dense` the step of an optimizer alone is timed, on one matrix of as many weights, no model around it.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from support.harness import machine, print_table, summary, time_together

from keras_smes.optimizers import FusedAdam, LazyAdam, RowwiseAdagrad

BATCH, IDS, WIDTH = 1024, 10, 16
TURNS = 5  # with batches of their own; then the first come again
OPTIMIZERS = {
    "keras Adam": keras.optimizers.Adam,
    "keras Adagrad": keras.optimizers.Adagrad,
    "LazyAdam": LazyAdam,
    "RowwiseAdagrad": RowwiseAdagrad,
}
DENSE = {"keras Adam": keras.optimizers.Adam, "FusedAdam": FusedAdam}

Cell = tuple[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000, 5_000_000])
    parser.add_argument("--units", type=int, nargs="*", default=[128, 64], help="widths of the MLP")
    parser.add_argument("--steps", type=int, default=12, help="steps a turn (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--dense", type=int, nargs="+", help="time dense weights instead, as many as given")
    arguments = parser.parse_args()
    if arguments.dense:
        report = {"machine": machine(), "rows": measure_dense(arguments.dense, 10 * arguments.rounds)}
    else:
        times = measure(arguments.rows, arguments.units, arguments.steps, arguments.rounds)
        report = {"machine": machine(), "rows": table(times), **sizes(arguments.units)}
    print(report["machine"])
    print_table(report["rows"], list(report["rows"][0]))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


def measure_dense(sizes: list[int], repeats: int) -> list[dict[str, Any]]:
    """Returns one line a number of weights and optimizer: milliseconds, and the median over FusedAdam's."""
    lines = []
    for size in sizes:
        times = time_together({name: dense_step(make(), size) for name, make in DENSE.items()}, repeats)
        rows = [{"optimizer": name, "weights": size, **summary(own)} for name, own in times.items()]
        lines += [{**row, "over FusedAdam": row["median_ms"] / rows[-1]["median_ms"]} for row in rows]
    return lines


def dense_step(optimizer: keras.optimizers.Optimizer, size: int) -> Callable[[], None]:
    weights = keras.Variable(keras.random.normal((size // WIDTH, WIDTH)))
    gradient = keras.random.normal(weights.shape)
    optimizer.build([weights])
    return tf.function(lambda: optimizer.apply([gradient], [weights]), jit_compile=False)


def sizes(units: list[int]) -> dict[str, Any]:
    return {"batch": BATCH, "ids": IDS, "width": WIDTH, "units": units}


def measure(all_rows: list[int], units: list[int], steps: int, rounds: int) -> dict[Cell, list[float]]:
    """Returns milliseconds of each step, by optimizer and number of rows."""
    data = {rows: drawn(rows, steps) for rows in all_rows}
    cells = {(name, rows): build(name, rows, units) for name in OPTIMIZERS for rows in all_rows}
    times: dict[Cell, list[float]] = {cell: [] for cell in cells}
    progress = keras.utils.Progbar(rounds, unit_name="round", verbose=int(sys.stderr.isatty()))
    for turn in range(-1, rounds):  # the first traces and warms up
        for (name, rows), model in cells.items():
            clock = Clock()
            model.fit(data[rows].shard(TURNS, turn % TURNS), callbacks=[clock], verbose=0, shuffle=False)
            times[name, rows] += clock.milliseconds if turn >= 0 else []
        progress.add(int(turn >= 0))
    return times


class Clock(keras.callbacks.Callback):
    """Notes how long each step but the first took."""

    def __init__(self) -> None:
        super().__init__()
        self.milliseconds: list[float] = []
        self.last: float | None = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        if self.last is not None:
            self.milliseconds.append(1000 * (now - self.last))
        self.last = now


def build(name: str, rows: int, units: list[int]) -> keras.Model:
    keras.utils.set_random_seed(1)
    ids = keras.Input((IDS,), dtype="int32")
    vectors = keras.layers.Embedding(rows, WIDTH)(ids)
    x = keras.layers.Flatten()(vectors)
    for width in units:
        x = keras.layers.Dense(width, activation="relu")(x)
    model = keras.Model(ids, keras.layers.Dense(1)(x))
    model.compile(OPTIMIZERS[name](), loss="mse", jit_compile=False)
    return model


def drawn(rows: int, steps: int) -> tf.data.Dataset:
    """Returns batches for as many different turns as there are, of `steps` each."""
    batches = TURNS * steps
    generator = np.random.default_rng(rows)
    ids = generator.integers(rows, size=(batches * BATCH, IDS), dtype=np.int32)
    labels = generator.normal(size=(batches * BATCH, 1)).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((ids, labels)).batch(BATCH).cache()


def table(times: dict[Cell, list[float]]) -> list[dict[str, Any]]:
    """Returns one line a cell: the median, deciles, and the median over that of the fewest rows."""
    medians = {cell: summary(steps)["median_ms"] for cell, steps in times.items()}
    fewest = min(rows for _, rows in times)
    return [
        {
            "optimizer": name,
            "V": rows,
            **summary(steps),
            f"over V={fewest}": medians[name, rows] / medians[name, fewest],
        }
        for (name, rows), steps in times.items()
    ]


if __name__ == "__main__":
    main()
