"""Times the ways of execution on an accelerator under XLA: one prepared run of under eight minutes.

    KERAS_BACKEND=jax python benchmarks/gpu.py [--seconds 440] [--sizes reference|dry] [--out DIR]

Whole layers with their routers: `dense`, `blocks`, `tiles`, on JAX `ragged`, and `plain`, one MLP of an
expert's size over as many rows as there are pairs, which no routing can beat. Forward, and forward and
backward of all weights and inputs without an optimizer; bfloat16 and float32. Needs Keras, JAX or TensorFlow,
NumPy and this package, and no network. Results are written after each size and type, so that a run that is
cut short keeps what it has; a row for which no time is left says so.

    ideal share = dense time * mean|U| / E / time       1: all that the count of multiplications allows
    peak share  = multiplications of the pairs / time / those of the fastest plain product here
    kernels     = instructions of the compiled program that a device launches, per pass of a loop's body once
"""

import argparse
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
from support.harness import machine, print_table, summary, time_together
from support.subjects import (
    Case,
    PlainPair,
    build_layer,
    compile_forward,
    compile_train,
    compiled_text,
    layer_of,
)

SIZES = {
    "reference": (
        Case(1024, 256, (512, 256), 64, 6, 2, 1),
        Case(4096, 512, (1024, 512), 64, 6, 2, 1),
        Case(8192, 1024, (2048, 1024), 256, 12, 4, 2),
    ),
    "dry": (Case(64, 16, (32, 16), 8, 3, 1, 1), Case(32, 8, (8, 8), 16, 2, 2, 1)),
}
POLICIES = {"bfloat16": "mixed_bfloat16", "float32": "float32"}
LAUNCHES = ("fusion", "custom-call", "dot", "convolution", "sort", "scatter", "gather", "copy", "while")
COLUMNS = [
    *("batch", "width", "units", "experts", "tasks", "dtype", "pass", "execution", "union_mean", "median_ms"),
    *("p10_ms", "p90_ms", "ideal_share", "peak_share", "kernels", "note"),
]
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", choices=sorted(SIZES), default="reference")
    parser.add_argument("--seconds", type=float, default=440, help="no row is begun after so long")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), metavar="DIR")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.seconds
    about = {**machine(), "device": device_name(), "peak_tflops": {d: peak_tflops(d) for d in POLICIES}}
    print(json.dumps(about, indent=2), flush=True)
    path = arguments.out / f"gpu_{re.sub('[^a-z0-9]+', '_', about['device'].lower())}.json"
    rows: list[Row] = []
    for case in SIZES[arguments.sizes]:
        for dtype in POLICIES:
            rows += measure(case, dtype, about["peak_tflops"][dtype], arguments.repeats, end)
            path.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")
    print_table(rows, COLUMNS)
    print(f"written to {path}")


def device_name() -> str:
    """Returns what the accelerator calls itself, or the processor where there is none."""
    if keras.backend.backend() == "jax":
        import jax

        return str(jax.devices()[0].device_kind)
    import tensorflow as tf

    cards = tf.config.list_physical_devices("GPU")
    return str(tf.config.experimental.get_device_details(cards[0])["device_name"]) if cards else "cpu"


def peak_tflops(dtype: str, side: int = 4096) -> float:
    """Measures the fastest plain product of this type, in 10^12 operations a second."""
    side = side if "cpu" not in device_name().lower() else 512
    matrix = keras.ops.cast(keras.random.normal((side, side)), dtype)
    plain = compile_forward(keras.ops.matmul, keras.layers.Layer(), [matrix, matrix], True)
    (times,) = time_together({"plain": plain}, 10).values()
    return 2 * side**3 / (min(times) / 1000) / 1e12


def measure(case: Case, dtype: str, peak: float, repeats: int, end: float) -> list[Row]:
    """Times one size in one type: all contestants in turn, forward and training."""
    smes, inputs = build_layer(case, "uniform", POLICIES[dtype])
    pairs = int(keras.ops.convert_to_numpy(smes.route(inputs)["union"]).sum())
    rows = []
    for kind, steps in (("forward", 1), ("train", 3)):
        functions, notes, kernels = compile_all(case, smes, inputs, dtype, pairs, kind, end)
        times = {name: summary(t) for name, t in time_together(functions, repeats).items()}
        flops = 2e-12 * steps * pairs * case.expert_weights
        for name in (*times, *notes):
            figures = times.get(name, {})
            row = {**sizes_of(case), "dtype": dtype, "pass": kind, "execution": name, **figures}
            row |= {"union_mean": pairs / case.batch, "note": notes.get(name), "kernels": kernels.get(name)}
            if figures:
                row["peak_share"] = flops / (figures["median_ms"] / 1000) / peak
                if "dense" in times:
                    ideal = times["dense"]["median_ms"] * pairs / case.batch / case.experts
                    row["ideal_share"] = ideal / figures["median_ms"]
            rows.append(row)
        print_table(rows[-len(times) - len(notes) :], COLUMNS)
    return rows


def compile_all(
    case: Case, smes: Any, inputs: Any, dtype: str, pairs: int, kind: str, end: float
) -> tuple[dict[str, Callable[[], Any]], dict[str, str], dict[str, int]]:
    """Runs each contestant once: returns those that run, notes on those that don't, and kernel counts."""
    compile_pass = {"forward": compile_forward, "train": compile_train}[kind]
    plain = PlainPair(case, pairs, POLICIES[dtype])
    subjects: dict[str, Any] = {"plain": (plain, plain.layer, plain.arguments)}
    ways = ["dense", "tiles", *(["ragged"] if keras.backend.backend() == "jax" else []), "blocks"]
    subjects |= {way: (layer_of(smes, way), smes, [inputs]) for way in ways}
    functions, notes, kernels = {}, {}, {}
    for name, subject in subjects.items():
        if time.monotonic() > end:
            notes[name] = "no time left"
            continue
        try:
            function = compile_pass(*subject, True)
            function()
        except Exception as error:  # out of memory, or a kernel that this card doesn't have
            notes[name] = f"{type(error).__name__}: {str(error)[:120]}"
            continue
        functions[name], kernels[name] = function, count_kernels(compiled_text(function))
    return functions, notes, kernels


def sizes_of(case: Case) -> Row:
    return {**vars(case), "units": "-".join(map(str, case.units))}


def count_kernels(text: str) -> int:
    """Counts the instructions of a compiled program, outside fusions, that launch work on a device."""
    bodies = re.split(r"\n(?=\S)", text)
    launched = "\n".join(body for body in bodies if not re.match(r"%?(fused|wrapped)", body))
    return len(re.findall(rf"^\s+(?:ROOT )?\S+ = .*? (?:{'|'.join(LAUNCHES)})\(", launched, re.MULTILINE))


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main()
