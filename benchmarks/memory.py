"""Measures how much memory the experts take at their peak, by TensorFlow's own record of each allocation.

    python benchmarks/memory.py [--json FILE]

The peak is put beside what the pairs need at least:

    needed = pairs * (D + hidden + out) * 4 bytes

`train` is forward and backward. What a pass returns (outputs; gradients of weights and inputs) is taken
off the peak and listed apart. The gradients of the experts' weights are made one expert after the other
and then stacked, so that training holds them twice for a moment, whatever the batch: hence large batches.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from support.harness import machine, print_table
from support.subjects import ROUTING, Case, build_layer, experts_of
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

CASES = (
    Case(8192, 256, (512, 256), 64, 6, 2, 1),
    Case(4096, 256, (256, 128), 256, 12, 4, 2),
    Case(16384, 128, (128, 64), 32, 6, 2, 1),
)
COLUMNS = ("batch", "width", "units", "experts", "execution", "pass", "pairs", "needed_mb", "results_mb")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    rows = [row for case in CASES for row in measure(case)]
    print_table(rows, (*COLUMNS, "peak_mb", "peak_over_needed"))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"about": machine(), "rows": rows}, indent=1) + "\n")


def measure(case: Case) -> list[dict[str, Any]]:
    """Returns a row for each way of execution and pass."""
    smes, inputs = build_layer(case, "uniform")
    routing = smes.route(inputs)
    arguments = [inputs, *(routing[name] for name in ROUTING)]
    pairs = int(np.asarray(routing["union"]).sum())
    needed = pairs * (case.width + sum(case.units)) * 4 / 1e6
    rows = []
    for execution, name in (("grouped", "forward"), ("grouped", "train"), ("dense", "forward")):
        peak, results = _peak_of(_passes(smes, execution)[name], arguments)
        about = {"batch": case.batch, "width": case.width, "units": case.units, "experts": case.experts}
        about |= {"execution": execution, "pass": name, "pairs": pairs, "needed_mb": needed}
        over = (peak - results) / needed
        rows.append({**about, "results_mb": results, "peak_mb": peak, "peak_over_needed": over})
    return rows


def _passes(smes: Any, execution: str) -> dict[str, Callable[..., list[Any]]]:
    call = experts_of(smes, execution)

    def forward(inputs: Any, *routing: Any) -> list[Any]:
        return [call(inputs, dict(zip(ROUTING, routing, strict=True)))]

    def train(inputs: Any, *routing: Any) -> list[Any]:
        weights = [variable.value for variable in smes.experts.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch([inputs, *routing[:2]])
            outputs = forward(inputs, *routing)
        zero = tf.UnconnectedGradients.ZERO
        return tape.gradient(outputs, [inputs, routing[1], *weights], unconnected_gradients=zero)

    return {"forward": forward, "train": train}


def _peak_of(function: Callable[..., list[Any]], arguments: list[Any]) -> tuple[float, float]:
    """Runs a function traced for any batch; returns the peak of what it allocates and what it returns, MB."""
    specs = [tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype) for tensor in arguments]
    traced = tf.function(function, input_signature=specs, autograph=False).get_concrete_function()
    frozen = convert_variables_to_constants_v2(traced)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen.graph.as_graph_def(), name="")
    feed = {t.name: np.asarray(v) for t, v in zip(frozen.inputs, arguments, strict=True)}
    options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
    record = tf.compat.v1.RunMetadata()
    with tf.compat.v1.Session(graph=graph) as session:
        names = [tensor.name for tensor in frozen.outputs]
        session.run(names, feed)
        results = session.run(names, feed, options, record)
    changes = sorted((a.alloc_micros, a.alloc_bytes) for a in _allocations(record))
    peak = float(np.max(np.cumsum([size for _, size in changes])))
    return peak / 1e6, sum(array.nbytes for array in results) / 1e6


def _allocations(record: Any) -> list[Any]:
    nodes = [node for device in record.step_stats.dev_stats for node in device.node_stats]
    return [change for node in nodes for memory in node.memory for change in memory.allocation_records]


if __name__ == "__main__":
    main()
