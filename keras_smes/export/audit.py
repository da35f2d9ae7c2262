"""The audit of a graph: only what stock TensorFlow Serving can run.

`serving_ops.txt` lists the operations with a CPU kernel in TensorFlow 2.20.0's C++ library, which TF
Serving 2.20 is built from, without those of XLA; these are in `serving_ops_xla.txt`, and run where the server
is started with `--xla_cpu_compilation_enabled`. A test compares both with that library. An operation in
Python, of an add-on library or of a newer TensorFlow is not among them; nor is `XlaCallModule`, whose program
has a version of its own that a server may be too old for.
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from keras_smes.export.graph.signature_defs import read_saved_model

MUST_COMPILE = "_XlaMustCompile"  # such a call fails where XLA is disabled


def audit(folder: str | Path, xla: bool = False) -> None:
    """Refuses a SavedModel that stock TensorFlow Serving 2.20 would load and then fail to run.

    Args:
        folder: Of the SavedModel.
        xla: Whether functions may be marked for XLA, and hold its operations. Defaults to `False`.

    Raises:
        ValueError: The graph holds such operations; the text names each with a node.
    """
    foreign: dict[str, str] = {}
    for node in _nodes(Path(folder)):
        if node.op not in serving_ops(xla):
            foreign.setdefault(node.op, node.name)
        elif not xla and node.attr[MUST_COMPILE].b:
            foreign.setdefault(f"{node.op} compiled by XLA", node.name)
    if foreign:
        found = ", ".join(f"{op} (node {name})" for op, name in sorted(foreign.items()))
        raise ValueError(f"The graph must hold operations of TensorFlow Serving 2.20 only. Received: {found}")


@cache
def serving_ops(xla: bool = False) -> frozenset[str]:
    """Returns the names of the operations that TensorFlow Serving 2.20 runs.

    Args:
        xla: Whether it is started with XLA enabled. Defaults to `False`, as it is unless told otherwise.
    """
    names = ["serving_ops.txt", *(["serving_ops_xla.txt"] if xla else [])]
    lists = (files("keras_smes.export").joinpath(name).read_text().split() for name in names)
    return frozenset(op for ops in lists for op in ops)


def _nodes(folder: Path) -> Iterator[Any]:
    for graph in read_saved_model(folder).meta_graphs:
        yield from graph.graph_def.node
        for function in graph.graph_def.library.function:
            yield from function.node_def
