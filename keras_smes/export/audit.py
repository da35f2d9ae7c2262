"""Audit of a graph: all its operations must run in stock TensorFlow Serving.

`serving_ops.txt` lists the operations with a CPU kernel in the C++ library of TensorFlow 2.20.0, from which
TF Serving 2.20 is built. `serving_ops_xla.txt` lists those of XLA, for servers started with
`--xla_cpu_compilation_enabled`. A test compares both with that library. Operations in Python, of add-on
libraries or of a newer TensorFlow are missing, and so is `XlaCallModule`: a server may be too old for the
version of its program.
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from keras_smes.export.graph.signature_defs import read_saved_model

MUST_COMPILE = "_XlaMustCompile"  # marks calls that fail where XLA is disabled


def audit(folder: str | Path, xla: bool = False) -> None:
    """Rejects a SavedModel that stock TensorFlow Serving 2.20 would load but fail to run.

    Args:
        folder: Folder of the SavedModel.
        xla: Whether operations of XLA are allowed. Defaults to `False`.

    Raises:
        ValueError: The graph holds other operations; the message names each with a node.
    """
    foreign: dict[str, str] = {}
    for node in _nodes(Path(folder)):
        if node.op not in serving_ops(xla):
            foreign.setdefault(node.op, node.name)
        elif not xla and node.attr[MUST_COMPILE].b:
            foreign.setdefault(f"{node.op} compiled by XLA", node.name)
    if foreign:
        found = ", ".join(f"{op} (node {name})" for op, name in sorted(foreign.items()))
        raise ValueError(f"The graph must only hold operations of TensorFlow Serving 2.20. Received: {found}")


@cache
def serving_ops(xla: bool = False) -> frozenset[str]:
    """Returns the names of the operations that TensorFlow Serving 2.20 runs.

    Args:
        xla: Whether it is started with XLA enabled. Defaults to `False`, as in stock servers.
    """
    names = ["serving_ops.txt", *(["serving_ops_xla.txt"] if xla else [])]
    lists = (files("keras_smes.export").joinpath(name).read_text().split() for name in names)
    return frozenset(op for ops in lists for op in ops)


def _nodes(folder: Path) -> Iterator[Any]:
    for graph in read_saved_model(folder).meta_graphs:
        yield from graph.graph_def.node
        for function in graph.graph_def.library.function:
            yield from function.node_def
