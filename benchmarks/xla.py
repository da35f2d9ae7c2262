"""XLA on this machine against TensorFlow's graph: training steps of the trainer, and answers of exports.

    python benchmarks/xla.py training --json benchmarks/results/xla_training.json
    python benchmarks/xla.py serving --runtime .venv/tensorflow-2.20.0/tensorflow --json FILE

`training` runs epochs of a few steps by turns: the trainer as `keras-smes train` has it, rows in memory.
`serving` asks `serving_default` of both exports by turns, in one process that has the C++ library of another
TensorFlow and no Python of it: what a server adds is the same for both.
"""

import argparse
import itertools
import json
import pickle
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]
BATCH, WIDTH, UNITS, EXPERTS, TASKS = 1024, 256, (512, 256), 64, 6
STEPS = 8
SERVED = {"8 of 32-16": (8, (32, 16)), "64 of 512-256": (64, (512, 256))}
BATCHES = (1, 8, 64, 500)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["training", "serving", "answer"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runtime", type=Path, metavar="DIR", help="folder of an installed tensorflow")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.part == "answer":  # a process of `serving`
        answer(arguments.runtime, arguments.rounds)
        return
    from support.harness import machine, print_table

    rows = train(arguments.rounds) if arguments.part == "training" else serve(arguments)
    print_table(rows, list(rows[0]))
    if arguments.json:
        text = json.dumps({"machine": machine(), "rows": rows}, indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")


def train(rounds: int) -> list[Row]:
    from support.harness import summary

    ways = {
        f"{execution}, {'XLA' if jit else 'graph'}": make_epoch(execution, jit)
        for execution in ("auto", "dense")
        for jit in (False, True)
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds + 1):
        for way, epoch in ways.items():
            started = time.perf_counter()
            epoch()
            times[way] += [1000 * (time.perf_counter() - started) / STEPS] if turn else []  # compiles first
    graph = summary(times["auto, graph"])["median_ms"]
    found = {way: summary(milliseconds) for way, milliseconds in times.items()}
    return [
        {
            "way": way,
            **row,
            "rows/s": 1000 * BATCH / row["median_ms"],
            "of auto, graph": graph / row["median_ms"],
        }
        for way, row in found.items()
    ]


def make_epoch(execution: str, jit: bool) -> Any:
    """An epoch of a few steps: the first row of the README's sizes, with towers and an optimizer."""
    import keras

    from keras_smes import SMES, FeatureSchema, Number, build_ranker
    from keras_smes.distribution import Engine
    from keras_smes.training import OptimizerConfig, TrainingConfig
    from keras_smes.training.input.packed_rows import RowsInMemory
    from keras_smes.training.input.plan import StepPlan
    from keras_smes.training.input.preprocessing import preprocess
    from keras_smes.training.model.multi_task import MultiTaskModel
    from keras_smes.training.model.optimizer import build_optimizer
    from keras_smes.training.task_losses import TaskLosses, joint_loss

    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    count = STEPS * BATCH
    columns = {f"number_{n}": rng.normal(size=count).astype("float32") for n in range(WIDTH)}
    names = [f"task_{n}" for n in range(TASKS)]
    labels = {name: (rng.random(count) < 0.3).astype("float32") for name in names}
    smes = SMES(TASKS, EXPERTS, 2, 1, UNITS, execution=execution, name="experts")
    schema = FeatureSchema(tuple(Number(name) for name in columns)).fit(columns)
    ranker = build_ranker(schema, names, smes, encoder_units=())
    core, tasks = ranker.get_layer("core"), ranker.get_layer("scores").tasks
    config = TrainingConfig(epochs=1, batch_size=BATCH, jit_compile=jit)
    options = config.loss_balance_options
    model = MultiTaskModel(core, TaskLosses(tasks), joint_loss(config.loss_balance, tasks, core, 3, options))
    targets = {task.name: task.targets(labels) for task in tasks}
    counted = {task.name: task.counted(labels) for task in tasks}
    plan = StepPlan(RowsInMemory((preprocess(ranker, columns), targets, counted)), BATCH, seed=5)
    optimizer = build_optimizer(OptimizerConfig(), 1000, model.trainable_variables)
    model.compile(optimizer, jit_compile=jit, auto_scale_loss=False)
    numbers = itertools.count()

    def epoch() -> Any:
        callbacks = keras.callbacks.CallbackList([], add_history=True, steps=STEPS, model=model)
        return Engine().epoch(model, plan, next(numbers), 0, callbacks)

    return epoch


def serve(arguments: argparse.Namespace) -> list[Row]:
    from keras_smes.export.graph.signature_defs import read_signatures
    from serving import example_columns, export_ranker

    rows = []
    for model, (experts, units) in SERVED.items():
        with tempfile.TemporaryDirectory() as folder:
            folders = {way: f"{folder}/{way}" for way in ("plain", "xla")}
            for way, path in folders.items():
                export_ranker(Path(path), experts, units, xla=way == "xla")
            tensors = {
                way: names(read_signatures(Path(path))["serving_default"]) for way, path in folders.items()
            }
            asked = pickle.dumps((folders, tensors, [example_columns(batch) for batch in BATCHES]))
            command = [sys.executable, __file__, "answer", "--rounds", str(arguments.rounds)]
            command += ["--runtime", str(arguments.runtime)]
            process = subprocess.run(command, input=asked, stdout=subprocess.PIPE, check=True)
        for batch, found in zip(BATCHES, pickle.loads(process.stdout), strict=True):
            rows.append(
                {"experts": model, "batch": batch, **found, "plain / xla": found["plain"] / found["xla"]}
            )
    return rows


def answer(runtime: Path, rounds: int) -> None:
    """Medians of milliseconds of each batch, by way; compiling is what the first xla answer takes longer."""
    # By its path: the package would bring a TensorFlow of its own into this process.
    runtime_of = runpy.run_path(
        str(Path(__file__).parents[1] / "keras_smes/export/verification/c_runtime.py")
    )

    folders, tensors, batches = pickle.load(sys.stdin.buffer)
    library = runtime_of["Runtime"](runtime)
    loaded = {way: (library.load(path), *tensors[way]) for way, path in folders.items()}

    def ask(way: str, columns: dict[str, np.ndarray]) -> float:
        session, inputs, outputs = loaded[way]
        started = time.perf_counter()
        session.run({inputs[name]: column for name, column in columns.items()}, outputs)
        return 1000 * (time.perf_counter() - started)

    found = []
    for columns in batches:
        first = {way: ask(way, columns) for way in loaded}
        times: dict[str, list[float]] = {way: [ask(way, columns) for _ in range(3)] for way in loaded}
        for _ in range(10 * rounds):
            for way in loaded:
                times[way].append(ask(way, columns))
        medians = {way: float(np.median(milliseconds[3:])) for way, milliseconds in times.items()}
        found.append({**medians, "first xla": first["xla"]})
    sys.stdout.buffer.write(pickle.dumps(found))


def names(signature: Any) -> tuple[dict[str, str], list[str]]:
    """Tensor names of a signature's inputs, by alias, and of its outputs."""
    inputs = {alias: info.name for alias, info in signature.inputs.items()}
    return inputs, [info.name for info in signature.outputs.values()]


if __name__ == "__main__":
    main()
