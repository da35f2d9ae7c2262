"""What the input pipeline takes: memory as the log grows, and its speed beside that of training.

    python benchmarks/input.py memory [--rows N N ...]
    python benchmarks/input.py speed [--rows N]

`memory` makes up logs of KuaiRand's layout, and for each reads it in a process of its own: into files
(`store_kuairand`, `split_with_past`), and, up to `--most-in-memory` rows, into memory. Peaks are those of
the process's resident memory, what its imports take aside; on Linux only.

`speed` streams such rows with their statistics: as they are (`raw`), and prepared beforehand
(`prepared`), the pipeline alone; trains the default ranker on one batch in memory again and again, and
fed by the prepared stream. All take turns, so that what else happens on the machine happens to all. What
counts are ratios: above 1 the pipeline alone is faster than training, and `training, fed` is how much of
training's own speed is left when it is fed. On a CPU both take turns on the cores: see the CPU time.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from harness import machine, print_table

from keras_smes import SMES, build_ranker
from keras_smes.data.kuairand import load_kuairand
from keras_smes.data.kuairand_made_up import write_made_up_kuairand
from keras_smes.data.kuairand_store import store_kuairand
from keras_smes.data.past.statistics import split_with_statistics
from keras_smes.data.past.stored import split_with_past
from keras_smes.data.stored_schema import fit_schema
from keras_smes.data.stream import Stream
from keras_smes.optimizers import FusedAdam, LazyAdam, SplitOptimizer
from keras_smes.training.batches import preprocess

USERS, VIDEOS, TASKS = 20_000, 200_000, ("click", "long_view", "like")
BATCH = 512


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["memory", "speed", "child"])
    parser.add_argument("--rows", type=int, nargs="+", default=None)
    parser.add_argument("--most-in-memory", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where files are put; a temporary folder by default")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.what == "child":
        return child(*arguments.child)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        rows = measure_memory(arguments, Path(folder)) if arguments.what == "memory" else None
        rows = rows or measure_speed(arguments, Path(folder))
    print(json.dumps(machine()))
    print_table(rows, list(rows[0]))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")
    return None


def measure_memory(arguments: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    table = []
    for rows in arguments.rows or [1_000_000, 3_000_000, 9_000_000]:
        release = write_made_up_kuairand(folder / str(rows), rows, USERS, VIDEOS, parts=2)
        size = sum(path.stat().st_size for path in (release / "data").iterdir())
        ways = ["store"] + ["load"] * (rows <= arguments.most_in_memory)
        for way in ways:
            command = [sys.executable, __file__, "child", "--child", way, str(release), str(folder / "cache")]
            printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            table.append({"way": way, "csv MB": size / 1e6, **json.loads(printed.splitlines()[-1])})
            print(table[-1], flush=True)
        for used in (release, folder / "cache"):
            shutil.rmtree(used)
    return table


def child(way: str, release: str, cache: str) -> None:
    """Reads a release and prints what it took."""
    before, started = _resident_mb("VmRSS"), time.perf_counter()
    Path("/proc/self/clear_refs").write_text("5")  # the peak of the imports is not meant
    if way == "load":
        loaded = load_kuairand("pure", release)
        rows, read, reading = len(loaded), time.perf_counter() - started, _resident_mb("VmHWM") - before
        split_with_statistics(loaded)
    else:
        stored = store_kuairand("pure", release, cache, verbose=0)
        rows, read, reading = len(stored), time.perf_counter() - started, _resident_mb("VmHWM") - before
        split_with_past(stored, verbose=0)
    past = time.perf_counter() - started - read
    took = {"rows": rows, "rows/s read": rows / read, "MB to read": reading, "rows/s past": rows / past}
    print(json.dumps({**took, "MB in all": _resident_mb("VmHWM") - before}))


def _resident_mb(which: str) -> float:
    """Returns the resident memory now (`VmRSS`) or at its peak (`VmHWM`), as Linux tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith(which))


def measure_speed(arguments: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    rows = (arguments.rows or [300_000])[0]
    release = write_made_up_kuairand(folder / "release", rows, USERS, VIDEOS)
    train = split_with_past(store_kuairand("pure", release, folder / "cache", part_rows=20_000)).train
    ranker = build_ranker(fit_schema(train), TASKS, SMES(len(TASKS), 16, 2, 1, (64, 32), name="experts"))
    core = ranker.get_layer("core")
    # As a configuration trains: Keras' Adam would go through whole tables, and any input keep up with it.
    optimizer = SplitOptimizer(LazyAdam(), FusedAdam())
    core.compile(optimizer, loss={task: keras.losses.BinaryCrossentropy(from_logits=True) for task in TASKS})
    raw = Stream(train, BATCH)
    prepared = Stream(train, BATCH, lambda columns, labels: (preprocess(ranker, columns), labels))
    prepared.store({"schema": "of this process"})
    one = tf.data.Dataset.from_tensors(next(iter(prepared.epoch())))
    resident = one.repeat(prepared.steps).cache()
    ways = {
        "raw stream": lambda turn: drain(raw.epoch(turn, seed=0)),
        "prepared stream": lambda turn: drain(prepared.epoch(turn, seed=0)),
        "training": lambda turn: core.fit(resident, verbose=0),
        "training, fed": lambda turn: core.fit(prepared.epoch(turn, seed=0), verbose=0),
    }
    return compare(ways, len(train), arguments.rounds)


def compare(ways: Mapping[str, Callable[[int], Any]], rows: int, rounds: int) -> list[dict[str, Any]]:
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for turn in range(rounds + 1):
        for way, run in ways.items():
            started = time.perf_counter(), time.process_time()
            run(turn)
            took = time.perf_counter() - started[0], time.process_time() - started[1]
            times[way] += [took] if turn else []  # the first is warm-up
    medians = {way: np.median(values, axis=0) for way, values in times.items()}
    return [
        {
            "way": way,
            "rows/s": rows / wall,
            "times training": medians["training"][0] / wall,
            "CPU us a row": 1e6 * cpu / rows,
        }
        for way, (wall, cpu) in medians.items()
    ]


def drain(batches: Any) -> None:
    # Counted by TensorFlow: a loop in Python costs what no model's input pays.
    batches.reduce(np.int64(0), lambda count, *_: count + 1)


if __name__ == "__main__":
    main()
