"""Conversions of operations that tf2onnx lacks or converts incorrectly."""

from typing import Any

import numpy as np

Graph = Any
Node = Any


def log1p(graph: Graph, node: Node, *_: Any) -> None:
    """`log(1 + x)`, exact for small x too: `u = 1 + x; x if u == 1 else log(u) * x / (u - 1)`."""
    (x,) = node.input
    one = _constant(graph, np.ones((), np.float32))
    u = _add(graph, "Add", x, one)
    log, excess = _add(graph, "Log", u), _add(graph, "Sub", u, one)
    # `Where` discards the division by zero.
    scaled = _add(graph, "Mul", log, _add(graph, "Div", x, excess))
    _replace(graph, node, "Where", _add(graph, "Equal", u, one), x, scaled)


def expm1(graph: Graph, node: Node, *_: Any) -> None:
    """`exp(x) - 1`, within the rounding of 1."""
    one = _constant(graph, np.ones((), np.float32))
    _replace(graph, node, "Sub", _add(graph, "Exp", *node.input), one)


def bucketize(graph: Graph, node: Node, *_: Any) -> None:
    """The number of boundaries that are at most x."""
    from onnx import TensorProto

    boundaries = _constant(graph, np.array(node.get_attr_value("boundaries"), np.float32))
    last_axis = _constant(graph, np.array([-1], np.int64))
    reached = _add(graph, "GreaterOrEqual", _add(graph, "Unsqueeze", *node.input, last_axis), boundaries)
    counted = _add(graph, "Cast", reached, to=TensorProto.INT32)
    _replace(graph, node, "ReduceSum", counted, last_axis, keepdims=0)


def select(graph: Graph, node: Node, *_: Any) -> None:
    """`x if condition else y`; tf2onnx multiplies by 0 and 1, which keeps NaN of the other side."""
    _replace(graph, node, "Where", *node.input)


# As `tf2onnx.convert.from_function` takes them.
HANDLERS: dict[str, tuple[Any, list[Any]]] = {
    operation: (handler, [])
    for operation, handler in {
        "Log1p": log1p,
        "Expm1": expm1,
        "Bucketize": bucketize,
        "SelectV2": select,
    }.items()
}


def _constant(graph: Graph, value: np.ndarray) -> str:
    from tf2onnx import utils

    return str(graph.make_const(utils.make_name("constant"), value).output[0])


def _add(graph: Graph, operation: str, *inputs: str, **attributes: Any) -> str:
    return str(graph.make_node(operation, list(inputs), attr=attributes).output[0])


def _replace(graph: Graph, node: Node, operation: str, *inputs: str, **attributes: Any) -> None:
    shapes, dtypes = node.output_shapes, node.output_dtypes
    graph.remove_node(node.name)
    graph.make_node(
        operation,
        list(inputs),
        attr=attributes,
        name=node.name,
        outputs=node.output,
        shapes=shapes,
        dtypes=dtypes,
    )
