"""The graph of layers of a functional model: its nodes, and calling it node by node."""

from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_smes.types import Tensor


def graph_of(model: Any) -> Any:
    """Returns the graph of a functional or sequential model, or `None` if it has none."""
    graph = getattr(model, "_functional", model)
    return graph if hasattr(graph, "_nodes_by_depth") else None


def is_graph(operation: Any) -> bool:
    """Returns whether `call_graph` can call it node by node."""
    return hasattr(operation, "_run_through_graph")


def nodes_of(graph: Any) -> Iterator[Any]:
    """Yields the calls of layers in a graph, in execution order."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        yield from graph._nodes_by_depth[depth]


def nodes_of_layer(layer: keras.layers.Layer) -> list[Any]:
    """Returns the calls of a layer."""
    nodes: list[Any] = layer._inbound_nodes
    return nodes


def inputs_of(graph: Any) -> Any:
    """Returns the symbolic inputs of a graph in their original structure."""
    return graph._inputs_struct


def mask_of(tensor: Tensor) -> Tensor | None:
    """Returns the Keras mask of a tensor, or `None`."""
    return getattr(tensor, "_keras_mask", None)


def call_graph(model: keras.Model, inputs: Any, operation: Callable[[Any], Callable[..., Any]]) -> Any:
    """Calls a functional model node by node, as `keras.models.clone_model` does.

    Args:
        model: The model.
        inputs: Its inputs, in its structure.
        operation: From each of its layers to the function to call instead.

    Returns:
        The model's outputs.
    """
    return model._run_through_graph(inputs, operation_fn=operation)
