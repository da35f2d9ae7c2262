"""Times the SMES layer: each way of execution beside `dense`, the ideal and the machine's limits.

    python benchmarks/layer.py [--grid targets|reference|serving|scale|crossover|small] [--json FILE]

The figures of a row come from one process and one run, the contestants timed in turn. Quote ratios:

    efficiency      = (dense_time * mean|U| / E) / path_time
    roofline_share  = max(multiplications / peak, bytes of touched weights / bandwidth) / path_time

`--grid targets --scope layer --routing uniform --jit 0` times what the project has targets for, in three
minutes, and prints each beside its target. `xla.py training` has the trainer's, `peers.py` torch-rechub's.

`experts` rows time the experts with the routing given, `layer` rows the whole layer with its routers.
A training pass is forward and backward (all weights and inputs; no optimizer): three times the
multiplications, and the touched weights read twice and their gradients written once.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from support.harness import limits, machine, print_table, summary, time_together
from support.subjects import (
    ROUTING,
    Case,
    PlainPair,
    build_layer,
    compile_forward,
    compile_train,
    experts_of,
    layer_of,
)

from keras_smes.execution import choose

REFERENCE = (
    Case(1024, 256, (512, 256), 64, 6, 2, 1),
    Case(512, 256, (256, 128), 256, 12, 4, 2),
    Case(4096, 128, (128, 64), 32, 6, 2, 1),
    Case(64, 256, (512, 256), 64, 6, 2, 1),
)


def _crossing(width: int, units: tuple[int, ...]) -> tuple[Case, ...]:
    """Sizes around the point from which on sparse ways win."""
    sizes = ((batch, experts) for batch in (1, 16, 128, 1024) for experts in (5, 10, 15, 20, 40, 80))
    return tuple(Case(batch, width, units, experts, 4, 1, 1) for batch, experts in sizes)


# Of whole layers in TensorFlow's graph, by batch: efficiency, or times as fast as dense.
TARGETS = {
    (1024, "forward"): ("efficiency", 1.0),
    (1024, "train"): ("efficiency", 0.9),
    (512, "forward"): ("efficiency", 0.9),
    (512, "train"): ("efficiency", 0.7),
    (4096, "forward"): ("efficiency", 0.85),
    (4096, "train"): ("efficiency", 0.8),
    (64, "forward"): ("dense_ratio", 4.0),
    (64, "train"): ("dense_ratio", 2.5),
    (8, "forward"): ("dense_ratio", 1.0),
}
GRIDS: dict[str, tuple[Case, ...]] = {
    "targets": (*REFERENCE, Case(8, 256, (512, 256), 64, 6, 2, 1)),
    "reference": REFERENCE,
    "serving": tuple(Case(b, 256, (512, 256), e, 6, 2, 1) for b in (1, 64, 500) for e in (64, 256)),
    "scale": tuple(
        Case(512, 256, (512, 256), e, 6, 2, 1) for e in (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
    ),
    "crossover": _crossing(128, (128, 64)),
    "small": _crossing(64, (32, 16)),
}
MOST_DENSE_WORK = 300e9  # multiply-adds; beyond, dense is left out: it would take seconds a pass
COLUMNS = [
    *("scope", "execution", "jit", "pass", "routing", "batch", "width", "units", "experts", "tasks"),
    *("num_shared", "num_private", "union_mean", "median_ms", "p10_ms", "p90_ms", "dense_median_ms"),
    *("ideal_median_ms", "efficiency", "dense_ratio", "roofline_share"),
]
CROSSOVER_COLUMNS = [
    *("scope", "jit", "pass", "routing", "batch", "experts", "E/bound", "dense_ratio", "auto", "auto/best")
]


def main() -> None:
    arguments = _arguments()
    about = {**machine(), **limits(), "grid": arguments.grid}
    print(json.dumps(about, indent=2), flush=True)
    rows = [row for case in GRIDS[arguments.grid] for row in measure(case, about, arguments)]
    print_table(rows, COLUMNS)
    if arguments.grid == "targets":
        print_targets(rows)
    if arguments.grid in ("crossover", "small"):
        print_crossover(rows)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grid", choices=sorted(GRIDS), default="reference")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--routing", nargs="+", choices=["uniform", "skewed"], default=["uniform", "skewed"])
    parser.add_argument("--scope", nargs="+", choices=["experts", "layer"], default=["experts", "layer"])
    parser.add_argument("--jit", nargs="+", type=int, choices=[0, 1], default=[0, 1])
    parser.add_argument("--passes", nargs="+", choices=["forward", "train"], default=["forward", "train"])
    return parser.parse_args()


def measure(case: Case, about: dict[str, Any], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures one case: all ways of execution, both passes."""
    rows: list[dict[str, Any]] = []
    for routing in arguments.routing:
        smes, inputs = build_layer(case, routing)
        routed = smes.route(inputs)
        chosen = {name: keras.ops.convert_to_tensor(routed[name]) for name in ROUTING}
        union = keras.ops.convert_to_numpy(chosen["union"])
        for jit in arguments.jit if keras.backend.backend() == "tensorflow" else [1]:
            for scope in arguments.scope:
                subject = (experts_of, [inputs, chosen]) if scope == "experts" else (layer_of, [inputs])
                for kind in arguments.passes:
                    times = _time(case, smes, subject, kind, bool(jit), int(union.sum()), arguments.repeats)
                    about_row = {"scope": scope, "jit": bool(jit), "pass": kind, "routing": routing}
                    rows += _rows(case, union, times, about, about_row)
        print(f"{case}, {routing}: done", flush=True)
    return rows


def _time(
    case: Case, smes: Any, subject: Any, kind: str, jit: bool, pairs: int, repeats: int
) -> dict[str, list[float]]:
    make, inputs = subject
    compile_pass = {"forward": compile_forward, "train": compile_train}[kind]
    functions: dict[str, Callable[[], Any]] = {}
    for execution in _ways(case, jit):
        functions[execution] = compile_pass(make(smes, execution), smes, inputs, jit)
    ideal = PlainPair(case, pairs)
    functions["ideal"] = compile_pass(ideal, ideal.layer, ideal.arguments, jit)
    return time_together(functions, repeats)


def _ways(case: Case, jit: bool) -> list[str]:
    sparse = "blocks" if jit or keras.backend.backend() == "jax" else "grouped"
    small = case.batch * case.experts * case.expert_weights <= MOST_DENSE_WORK
    return ["dense", sparse] if small else [sparse]


def _rows(
    case: Case, union: np.ndarray, times: dict[str, list[float]], about: dict[str, Any], row: dict[str, Any]
) -> list[dict[str, Any]]:
    medians = {name: summary(values)["median_ms"] for name, values in times.items()}
    dense, ideal = medians.get("dense"), medians["ideal"]
    union_mean = float(union.sum(axis=1).mean())
    roofline = _roofline_ms(case, union, about, steps=3 if row["pass"] == "train" else 1)
    sizes = {
        **vars(case),
        "units": "-".join(map(str, case.units)),
        "union_mean": union_mean,
        "union_bound": case.bound,
        "expert_weights": case.expert_weights,
    }
    rows = []
    for name in (n for n in times if n != "ideal"):
        ratios = {
            "efficiency": dense and dense * union_mean / case.experts / medians[name],
            "dense_ratio": dense and dense / medians[name],
            "roofline_share": roofline / medians[name],
        }
        compared = {"dense_median_ms": dense, "ideal_median_ms": ideal, "roofline_ms": roofline}
        figures = {**summary(times[name]), **compared, **ratios}
        rows.append({"execution": name, "backend": about["backend"], **row, **sizes, **figures})
    return rows


def _roofline_ms(case: Case, union: np.ndarray, about: dict[str, Any], steps: int) -> float:
    operations = 2 * int(union.sum()) * case.expert_weights
    touched = 4 * int(union.any(axis=0).sum()) * case.expert_weights
    seconds = max(operations / about["peak_gflops"], touched / about["bandwidth_gbs"]) / 1e9
    return 1000 * steps * seconds


def print_targets(rows: list[dict[str, Any]]) -> None:
    """Prints what is reached beside what was aimed at."""
    table = []
    for row in (r for r in rows if r["execution"] != "dense" and (r["batch"], r["pass"]) in TARGETS):
        measure, target = TARGETS[row["batch"], row["pass"]]
        table.append({**row, "measure": measure, "reached": row[measure], "target": target})
    print_table(table, [*COLUMNS[5:10], "union_mean", "pass", "measure", "reached", "target"])


def print_crossover(rows: list[dict[str, Any]]) -> None:
    """Prints where sparse overtakes dense, and what `auto` takes there."""
    table = []
    for row in (r for r in rows if r["execution"] != "dense"):
        train = row["pass"] == "train"
        sizes = (row["experts"], row["union_bound"], row["expert_weights"], row["batch"])
        auto = choose(*sizes, train, xla=row["jit"] or row["backend"] == "jax")
        taken = row["dense_median_ms"] if auto == "dense" else row["median_ms"]
        best = min(row["dense_median_ms"], row["median_ms"])
        table.append(
            {**row, "E/bound": row["experts"] / row["union_bound"], "auto": auto, "auto/best": taken / best}
        )
    print_table(table, CROSSOVER_COLUMNS)


if __name__ == "__main__":
    main()
