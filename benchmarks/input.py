"""Rows on their way into a training: how fast, and how much memory, from memory and from disk.

    python benchmarks/input.py rows [--rows N N ...] [--model small] [--json FILE]
    python benchmarks/input.py turns [--rows N N ...] [--model small] [--seconds S]
    python benchmarks/input.py memory [--rows N N ...]

`rows` makes up a log on disk (the simulator's rows, again and again on later days), and trains and evaluates
on it, each way and size in a process of its own: `disk` as it lies, `memory` read whole. Rows a second are of
preparing (schema and packing), of an epoch of batches without a model, of `--seconds` of training, after the
first group of rows is there and the graph is built, and of the evaluation of all test rows, its graph
included; the last day alone says what the graph takes. `cpu us` are microseconds of processor time per row,
of all threads: what to compare where other processes run. Peaks are those of the whole process. On Linux
only. Writing the log is in no number. 1, 4 and 20 million rows take about ten minutes on two cores and 8 GB
of disk.

`turns` trains one model from disk and from memory in turn, in one process, a second or so each: the speed of
a shared machine differs more between two processes than between the two ways. `ratio` is disk's rows a second
in those of memory over all turns, `ratio of pairs` the median over pairs of turns.

`memory` makes up logs of KuaiRand's layout, and for each reads it in a process of its own: into files
(`store_kuairand`, `split_with_past`), and, up to `--most-in-memory` rows, into memory. Peaks are those of
the process's resident memory, what its imports take aside; on Linux only.
"""

import argparse
import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import polars as pl
from support.harness import machine, print_table

from keras_smes.data import Interactions, StoredInteractions, simulate, split_with_past
from keras_smes.data.datasets.fake_kuairand import write_made_up_kuairand
from keras_smes.data.datasets.kuairand import load_kuairand
from keras_smes.data.datasets.kuairand_store import store_kuairand
from keras_smes.data.past.statistics import split_with_statistics
from keras_smes.data.store.part import Part
from keras_smes.training import EncoderConfig, RunConfig, TrainingConfig, evaluate
from keras_smes.training.fit import FitContext, fit_prepared, new_model
from keras_smes.training.input.plan import StepPlan
from keras_smes.training.input.prepared import Prepared, prepare

USERS, VIDEOS = 20_000, 200_000
BASE_ROWS, BASE_DAYS, PART_ROWS = 1_000_000, 20, 250_000
TURN = 8  # executions
USUAL = RunConfig("simulated", training=TrainingConfig(epochs=1, monitor_rows=0))
MODELS = {
    "usual": USUAL,
    # So small that the input has to keep up with it.
    "small": dataclasses.replace(
        USUAL,
        experts={"num_experts": 4, "num_shared": 1, "expert_units": (8,)},
        encoder=EncoderConfig((16,)),
        tower_units=(4,),
        training=TrainingConfig(epochs=1, batch_size=4096, monitor_rows=0),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["rows", "turns", "memory", "child", "child-rows"])
    parser.add_argument("--rows", type=int, nargs="+", default=None)
    parser.add_argument("--most-in-memory", type=int, default=20_000_000)
    parser.add_argument("--model", choices=list(MODELS), default="usual")
    parser.add_argument("--seconds", type=float, default=30.0, help="of training; 0 for a whole epoch")
    parser.add_argument("--folder", type=Path, help="where files are put; a temporary folder by default")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--way", default="disk", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.what == "child":
        return child(*arguments.child)
    if arguments.what == "child-rows":
        return child_of_rows(arguments.folder, arguments.way, MODELS[arguments.model], arguments.seconds)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        measure = {"memory": measure_memory, "rows": measure_rows, "turns": measure_turns}[arguments.what]
        rows = measure(arguments, Path(folder))
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


def measure_rows(arguments: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    table = []
    base = simulate(rows=BASE_ROWS, users=USERS, videos=VIDEOS, days=BASE_DAYS, seed=1)
    for rows in arguments.rows or [1_000_000, 4_000_000, 20_000_000]:
        print(f"writing {rows} rows", flush=True)
        write_log(base, folder / "log", rows)
        for way in ["disk"] + ["memory"] * (rows <= arguments.most_in_memory):
            command = [sys.executable, __file__, "child-rows", "--folder", str(folder), "--way", way]
            command += ["--seconds", str(arguments.seconds), "--model", arguments.model]
            ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
            if ended.returncode:  # such as for want of memory: the other sizes go on
                print(f"{way}, {rows} rows: ended with {ended.returncode}", flush=True)
                continue
            table.append({"way": way, **json.loads(ended.stdout.splitlines()[-1])})
            print(table[-1], flush=True)
        shutil.rmtree(folder / "log")
    return table


def write_log(base: Interactions, folder: Path, rows: int) -> None:
    """Writes a base of rows again and again, each time on later days, in parts."""
    (folder / "rows").mkdir(parents=True)
    starts = range(0, BASE_ROWS, PART_ROWS)
    pieces = [base.frame[start : start + PART_ROWS] for start in starts]
    for number in range(rows // PART_ROWS):
        turn, piece = divmod(number, len(pieces))
        later = turn * (BASE_DAYS + 1)  # the base ends in the night after its days
        days = pl.duration(days=later)
        late = pl.col("time_ms") + later * 86_400_000
        frame = pieces[piece].with_columns(late, pl.col("date") + days)
        frame.write_parquet(folder / "rows" / f"{number:04d}.parquet", compression="lz4")


def open_log(folder: Path) -> StoredInteractions:
    roles = simulate(rows=1000, users=USERS, videos=VIDEOS, days=BASE_DAYS, seed=1)
    parts = []
    for path in sorted((folder / "rows").iterdir()):
        days = pl.scan_parquet(path).group_by("date").len().collect()
        parts.append(Part(path.name, dict(days.rows())))
    roles = dataclasses.replace(roles, frame=roles.frame.clear(), statistics=())
    return StoredInteractions(roles, folder, tuple(parts))


def child_of_rows(folder: Path, way: str, config: RunConfig, seconds: float) -> None:
    """Prepares, trains and evaluates one way, and prints what it took."""
    stored = open_log(folder / "log")
    first, last = stored.dates()
    cut = stored.split(test_from=last - (last - first) // 10)
    train, test = (part if way == "disk" else part.read() for part in (cut.train, cut.test))
    took: dict[str, Any] = {"rows": len(train), "test rows": len(test)}

    def timed(name: str, rows: int, run: Callable[[], Any]) -> Any:
        started, busy = time.perf_counter(), time.process_time()
        result = run()
        took[f"rows/s {name}"] = rows / (time.perf_counter() - started)
        took[f"cpu us {name}"] = 1e6 * (time.process_time() - busy) / rows
        return result

    prepared = timed("prepared", len(train), lambda: prepare(train))
    batches = StepPlan(prepared.rows, config.training.batch_size, 0)
    count = timed("of batches", len(train), lambda: drain(batches.epoch(0)))
    assert count == batches.steps
    ranker, took["rows/s trained"], took["cpu us trained"] = train_for(config, prepared, seconds or math.inf)
    few, started = test.between(test.dates()[1]), time.perf_counter()
    evaluate(ranker, few)
    took |= {"rows of last day": len(few), "s evaluating these": time.perf_counter() - started}
    timed("evaluated", len(test), lambda: evaluate(ranker, test))
    print(json.dumps({**took, "peak MB": _resident_mb("VmHWM")}))


def measure_turns(arguments: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    base = simulate(rows=BASE_ROWS, users=USERS, videos=VIDEOS, days=BASE_DAYS, seed=1)
    table = []
    for rows in arguments.rows or [4_000_000]:
        write_log(base, folder / "log", rows)
        stored = open_log(folder / "log")
        table.append(train_in_turn(MODELS[arguments.model], stored, arguments.seconds or math.inf))
        shutil.rmtree(folder / "log")
    return table


def train_in_turn(config: RunConfig, stored: StoredInteractions, seconds: float) -> dict[str, Any]:
    """Trains one model from disk and from memory in turn, and returns how fast each way was."""
    ways = {"disk": prepare(stored), "memory": prepare(stored.read())}
    size = config.training.batch_size
    plans = {way: StepPlan(prepared.rows, size, 0) for way, prepared in ways.items()}
    _, model = new_model(config, ways["disk"], plans["disk"].steps)
    model.make_train_function()
    batches = {way: iter(plan.epoch(0)) for way, plan in plans.items()}
    for way in (*batches, *batches):  # the graph, and the first group of rows
        model.train_function(batches[way])
    took: dict[str, list[float]] = {way: [] for way in batches}
    each = TURN * config.training.steps_per_execution
    for turn in range(plans["disk"].steps // each - 1):
        for way in sorted(batches, reverse=bool(turn % 2)):
            started = time.perf_counter()
            for _ in range(TURN):
                model.train_function(batches[way])
            took[way].append(time.perf_counter() - started)
        if sum(map(sum, took.values())) > seconds:
            break
    turns, total = len(took["disk"]), {way: sum(times) for way, times in took.items()}
    paired = np.median(np.divide(took["memory"], took["disk"]))
    found = {f"rows/s {way}": turns * each * size / seconds for way, seconds in total.items()}
    ratios = {"ratio": total["memory"] / total["disk"], "ratio of pairs": float(paired)}
    return {"rows": len(stored), "turns": turns, **found, **ratios}


def drain(batches: Any) -> int:
    # Counted by TensorFlow: a loop in Python costs what no model's input pays.
    return int(batches.reduce(np.int64(0), lambda count, *_: count + 1))


class Clock:
    """In place of a session: notes when steps are done, and ends the training in time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.times: list[float] = []
        self.busy: list[float] = []

    def resume(self, data: str) -> None:
        """Nothing is taken up."""

    def write(self, steps: int, progress: Any, arrays: Any) -> None:
        """Nothing is written."""

    @property
    def is_due(self) -> bool:
        self.times.append(time.perf_counter())
        self.busy.append(time.process_time())
        if self.times[-1] - self.times[0] > self.seconds:
            raise TimeoutError
        return False


def train_for(config: RunConfig, prepared: Prepared, seconds: float) -> tuple[Any, float, float]:
    """Trains so long, and returns a ranker, rows a second and microseconds of processor time per row."""
    clock = Clock(seconds)
    context = FitContext(session=clock, verbose=0)  # type: ignore[arg-type]
    try:
        ranker = fit_prepared(config, prepared, context=context).ranker
    except TimeoutError:
        steps = math.ceil(prepared.rows.num_rows / config.training.batch_size)
        ranker, _ = new_model(config, prepared, steps)  # as fast to evaluate
    training = config.training
    rows = (len(clock.times) - 1) * training.steps_per_execution * training.batch_size
    busy = 1e6 * (clock.busy[-1] - clock.busy[0]) / rows
    return ranker, rows / (clock.times[-1] - clock.times[0]), busy


if __name__ == "__main__":
    main()
