"""Runs only the routers of a functional model, without experts and towers, and without changing it."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_smes.backend.graph import graph_of, inputs_of, mask_of, nodes_of
from keras_smes.backend.xla import as_graph
from keras_smes.layers import SMES, PrivateExpertGate
from keras_smes.metrics import RoutingHealth
from keras_smes.types import Tensor
from keras_smes.validation import check_count

AddUp = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
BATCH = 2048
MASK = "mask"  # key beside the tensors of a routing


class RoutingProbe:
    """Measures the routing of given rows in every layer of a model that chooses experts.

    Such layers are `SMES`, the sparse baselines, and `PrivateExpertGate`, also in nested models, with names
    such as `core/experts`. A probe is a separate model that shares the routers and the layers before them;
    experts run only if a later router reads their outputs.

    Args:
        model: A functional or sequential model, built.

    Attributes:
        layers: Names of the layers, in the order of the model.

    Raises:
        ValueError: The model is not functional, or has no such layer.

    Example:

    >>> h = keras.Input((8,))
    >>> smes = SMES(num_tasks=2, num_experts=4, num_shared=1, num_private=1, expert_units=3, name="experts")
    >>> probe = RoutingProbe(keras.Model(h, smes(h)))
    >>> health = probe.measure(np.random.default_rng(0).normal(size=(64, 8)).astype("float32"))
    >>> health["experts"]["rows"], health["experts"]["union_bound"]
    (64, 3)
    """

    def __init__(self, model: keras.Model) -> None:
        graph = graph_of(model)
        routings = {} if graph is None else _routings(graph)
        if graph is None or not routings:
            raise ValueError(
                "`model` must be functional and have a layer that chooses experts, such as SMES. "
                f"Received: {type(model).__name__} {model.name!r}"
            )
        self.layers = tuple(routings)
        self._routers = keras.Model(inputs_of(graph), routings)
        self._health = {layer: _health(routing) for layer, routing in routings.items()}
        self._step = as_graph(self.update)

    def route(self, features: Any) -> dict[str, dict[str, Any]]:
        """Routes a few rows.

        Args:
            features: The model's inputs: arrays of a batch, or a dict or list of them.

        Returns:
            By layer a dict of NumPy arrays, as `SMES.route` names them.
        """
        routings = self._routers(features, training=False)
        return {
            layer: {name: keras.ops.convert_to_numpy(own) for name, own in routing.items() if name != MASK}
            for layer, routing in routings.items()
        }

    def measure(
        self, features: Any, add_up: AddUp | None = None, mask: np.ndarray | None = None
    ) -> dict[str, dict[str, Any]]:
        """Routes rows and returns `RoutingHealth.result()` for each layer.

        Args:
            features: The model's inputs: arrays of N rows, or a dict or list of them.
            add_up: Sums a dict of arrays over processes that each measure their own rows.
                Defaults to `None`: these are all rows.
            mask: `[N]` bool, false for rows that count for no task. Defaults to `None`, all rows count. Rows
                that a mask within the model excludes don't count either.

        Returns:
            A dict by layer.
        """
        for health in self._health.values():
            health.reset_state()
        self.add(features, mask)
        return self.results(add_up)

    def add(self, features: Any, mask: np.ndarray | None = None) -> None:
        """Routes more rows and counts them.

        Args:
            features: As for `measure`.
            mask: As for `measure`. Defaults to `None`, all rows count.
        """
        for start in range(0, num_rows(features), BATCH):
            batch = keras.tree.map_structure(lambda rows, at=start: rows[at : at + BATCH], features)
            self._step(batch, None if mask is None else mask[start : start + BATCH])

    def update(self, features: Any, mask: Tensor | None = None) -> None:
        """Routes a batch and counts it, also as part of a graph.

        Args:
            features: The model's inputs, tensors of at most 2**20 rows.
            mask: `[B]` bool, false for rows that don't count. Defaults to `None`, all rows count.
        """
        for layer, routing in self._routers(features, training=False).items():
            masks = [own for own in (routing.get(MASK), mask) if own is not None]
            self._health[layer].update_state(
                routing, functools.reduce(keras.ops.logical_and, masks) if masks else None
            )

    def results(self, add_up: AddUp | None = None) -> dict[str, dict[str, Any]]:
        """Returns the measures over all rows so far.

        Args:
            add_up: As for `measure`. Defaults to `None`.

        Returns:
            `RoutingHealth.result()` by layer.
        """
        if add_up is not None:
            for health in self._health.values():
                counts = add_up(health.state())
                health.reset_state()
                health.add_state(counts)
        return {layer: health.result() for layer, health in self._health.items()}


def has_routing(model: keras.Model) -> bool:
    """Returns whether a model is functional and has a layer that chooses experts.

    Args:
        model: Any Keras model.

    Returns:
        Whether a `RoutingProbe` can measure the model.

    Example:

    >>> h = keras.Input((8,))
    >>> smes = SMES(num_tasks=2, num_experts=4, num_shared=1, num_private=1, expert_units=3)
    >>> has_routing(keras.Model(h, smes(h))), has_routing(keras.Model(h, keras.layers.Dense(1)(h)))
    (True, False)
    """
    graph = graph_of(model)
    layers = [] if graph is None else [node.operation for node in nodes_of(graph)]
    return any(isinstance(own, SMES | PrivateExpertGate) or _is_routing_model(own) for own in layers)


def sample_rows(features: Any, rows: int, mask: np.ndarray | None = None) -> Any:
    """Samples at most `rows` rows, evenly spread over arrays, or the first ones of a data set.

    Args:
        features: Arrays of N rows, or a dict or list of them; or an iterable of batches, of features alone or
            of tuples that begin with them, such as a `tf.data.Dataset`. Rows whose sample weights are all 0
            are left out.
        rows: Maximum number of rows.
        mask: `[N]` bool, false for rows of arrays that are left out. Defaults to `None`, all are kept.

    Returns:
        NumPy arrays, in the same structure.

    Example:

    >>> sample_rows({"x": np.arange(10)}, 4)["x"].tolist()
    [0, 3, 6, 9]
    """
    check_count("rows", rows)
    if not all(isinstance(x, np.ndarray) or keras.ops.is_tensor(x) for x in keras.tree.flatten(features)):
        features = _first_batches(features, rows)
    counted = np.flatnonzero(np.ones(num_rows(features), bool) if mask is None else mask)
    taken = evenly_spread(counted, rows)
    return keras.tree.map_structure(lambda values: np.asarray(values)[taken], features)


def evenly_spread(values: np.ndarray, most: int) -> np.ndarray:
    """Returns at most so many values, evenly spread over their places."""
    return values[np.linspace(0, len(values) - 1, min(most, len(values))).astype(np.intp)]


def num_rows(features: Any) -> int:
    """Returns the number of rows of arrays."""
    return len(keras.tree.flatten(features)[0])


def _first_batches(batches: Any, rows: int) -> Any:
    taken: list[Any] = []
    for batch in batches:
        features, _, weights = keras.utils.unpack_x_y_sample_weight(batch)
        features = keras.tree.map_structure(keras.ops.convert_to_numpy, features)
        counted = _with_weight(weights, num_rows(features))
        taken.append(keras.tree.map_structure(lambda values, counted=counted: values[counted], features))
        if sum(num_rows(part) for part in taken) >= rows:
            break
    if not taken:
        raise ValueError("`features` must have rows. Received: a data set without batches")
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts)[:rows], *taken)


def _with_weight(weights: Any, rows: int) -> np.ndarray:
    """Returns whether a row has a sample weight other than 0, bool `[rows]`."""
    leaves = [keras.ops.convert_to_numpy(leaf) for leaf in keras.tree.flatten(weights) if leaf is not None]
    columns = [leaf.reshape(rows, -1) for leaf in leaves]
    return np.any(np.concatenate(columns, axis=1) != 0, axis=1) if columns else np.ones(rows, bool)


def _health(routing: dict[str, Tensor]) -> RoutingHealth:
    num_tasks, num_experts = routing["probabilities"].shape[1:]
    return RoutingHealth(num_tasks, num_experts, bound=routing["executed"].shape[1])


def _is_routing_model(layer: Any) -> bool:
    return isinstance(layer, keras.Model) and has_routing(layer)


def _routings(graph: Any) -> dict[str, dict[str, Tensor]]:
    """Routing of each choosing layer by name, as symbolic tensors of the model's inputs."""
    found: dict[str, dict[str, Tensor]] = {}
    for node in nodes_of(graph):
        for name, routing in _routings_of(node.operation, node.arguments).items():
            calls = sum(other.partition(" ")[0] == name for other in found)
            found[f"{name} (call {calls + 1})" if calls else name] = routing
    return found


def _mask_at(arguments: Any) -> dict[str, Tensor]:
    """Mask of a layer's call, under its name among a routing's tensors; empty without a mask."""
    given = arguments.kwargs.get("mask")
    mask = mask_of(arguments.keras_tensors[0]) if given is None else given
    return {} if mask is None else {MASK: mask}


def _routings_of(layer: Any, arguments: Any) -> dict[str, dict[str, Tensor]]:
    if isinstance(layer, SMES):
        return {layer.name: layer.route(arguments.keras_tensors[0]) | _mask_at(arguments)}
    if isinstance(layer, PrivateExpertGate):
        return {layer.name: layer(*arguments.args, **arguments.kwargs) | _mask_at(arguments)}
    if not _is_routing_model(layer):
        return {}
    inner = graph_of(layer)
    routers = keras.Model(inputs_of(inner), _routings(inner))
    return {f"{layer.name}/{name}": routing for name, routing in routers(*arguments.args).items()}
