"""What all benchmarks share: interleaved timing, the machine's limits, and how a table is printed."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_smes.formatting import markdown_table

Function = Callable[[], Any]


def time_together(functions: Mapping[str, Function], repeats: int) -> dict[str, list[float]]:
    """Times functions in turn, A B C A B C ..., so that all of them see the same noise.

    Args:
        functions: What to time, each ready to be called; called twice before it counts.
        repeats: Rounds that count.

    Returns:
        Milliseconds of each call, by name.
    """
    for function in functions.values():
        wait(function())
        wait(function())
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            started = time.perf_counter()
            wait(function())
            times[name].append(1000 * (time.perf_counter() - started))
    return times


def wait(result: Any) -> None:
    """Waits for results that JAX computes behind one's back."""
    if keras.backend.backend() == "jax":
        import jax

        jax.block_until_ready(result)


def summary(times: Sequence[float]) -> dict[str, float]:
    """Returns the median, and the first and last decile, in milliseconds."""
    low, high = np.quantile(times, [0.1, 0.9])
    return {"median_ms": statistics.median(times), "p10_ms": float(low), "p90_ms": float(high)}


def machine() -> dict[str, Any]:
    """Returns what the figures depend on: processor, cores and versions."""
    versions = {"python": platform.python_version(), "keras": keras.__version__, "numpy": np.__version__}
    name = keras.backend.backend()
    versions[name] = __import__(name).__version__
    return {"processor": _processor(), "cores": os.cpu_count(), "backend": name, "versions": versions}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def limits(repeats: int = 5) -> dict[str, float]:
    """Measures the machine: float32 matmul peak (GFLOP/s) and copy bandwidth (GB/s, read and written)."""
    side, length = 2048, 2**25
    matrix = keras.random.normal((side, side))
    vector = np.ones(length, np.float32)
    target = np.empty_like(vector)
    functions = {
        "matmul": lambda: keras.ops.matmul(matrix, matrix),
        "copy": lambda: np.copyto(target, vector),
    }
    best = {name: min(times) / 1000 for name, times in time_together(functions, repeats).items()}
    return {
        "peak_gflops": 2 * side**3 / best["matmul"] / 1e9,
        "bandwidth_gbs": 8 * length / best["copy"] / 1e9,
    }


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Prints rows as a Markdown table."""
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    print(markdown_table(columns, cells), flush=True)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if value < 10 else f"{value:.1f}"
    return str(value)
