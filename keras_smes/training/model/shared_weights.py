"""Finds the weights that tasks share, by the reach of their gradients and not by names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_smes.backend.graph import nodes_of_layer
from keras_smes.backend.vjp import pull_back
from keras_smes.types import Tensor

DRAWS, ROWS = 3, 16


def last_encoder_weights(core: keras.Model) -> list[Any]:
    """Returns the weights of the last layer before the experts, which all tasks share.

    Raises:
        ValueError: There is no such layer.
    """
    layers = [layer for layer in core.layers if layer.name.startswith("encoder_")]
    if not layers:
        raise ValueError(
            "`loss_balance` 'gradnorm' needs an encoder with `units`: it looks at the last weights that all "
            "tasks share. Received: units=()"
        )
    variables: list[Any] = layers[-1].trainable_variables
    return variables


def shared_weights(core: keras.Model) -> list[Any]:
    """Returns the dense weights that more than one task uses: all but embeddings and what is one task's own.

    A task uses an element of a weight if its logits have a gradient by it, at any of a few random values of
    all dense weights: the values at hand may hide it, as a layer that starts at zero does. A weight is shared
    if one element of it is used by two tasks. So the experts that PLE gives one task are not, and neither is
    a stack of gates of one slice per task.

    Args:
        core: From features to a dict of each task's logits.
    """
    tables = {id(v) for layer in core.layers if _is_lookup(layer) for v in layer.trainable_variables}
    dense = [variable for variable in core.trainable_variables if id(variable) not in tables]
    return [variable for variable, users in zip(dense, _users(core, dense), strict=True) if np.max(users) > 1]


def _users(core: keras.Model, dense: Sequence[Any]) -> list[np.ndarray]:
    """For each weight, how many tasks use its elements: integers in the weight's shape."""
    generator = np.random.default_rng(0)
    places = {id(variable): n for n, variable in enumerate(core.trainable_variables)}
    own = [places[id(variable)] for variable in dense]
    differentiate = _compiled(lambda values, features: _gradients(core, own, values, features))
    used_tv = [[np.zeros(variable.shape, bool) for variable in dense] for _ in core.output]
    for _ in range(DRAWS):
        values = [_draw(variable.shape, generator) for variable in dense]
        of_tasks = differentiate(values, _features(core, generator))
        for used, gradient in zip(keras.tree.flatten(used_tv), keras.tree.flatten(of_tasks), strict=True):
            used |= ops.convert_to_numpy(gradient) != 0
    return [np.sum(used_t, axis=0) for used_t in zip(*used_tv, strict=True)]


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    if keras.backend.backend() != "jax":
        return function
    import jax

    compiled: Callable[..., Any] = jax.jit(function)  # one by one, operations would compile for seconds
    return compiled


def _gradients(
    core: keras.Model, own: Sequence[int], values: Sequence[Tensor], features: Mapping[str, Tensor]
) -> list[Sequence[Tensor]]:
    """The gradients of each task's logits by the weights at `own`, at given values of them."""
    others = [ops.convert_to_tensor(variable) for variable in core.non_trainable_variables]

    def logits(*values: Tensor) -> dict[str, Tensor]:
        weights = [ops.convert_to_tensor(variable) for variable in core.trainable_variables]
        for place, value in zip(own, values, strict=True):
            weights[place] = value
        outputs: dict[str, Tensor] = core.stateless_call(weights, others, features, training=False)[0]
        return outputs

    def of(task: str) -> Sequence[Tensor]:
        cotangent = ops.ones(tuple(core.output[task].shape[1:]), "float32")
        batch = ops.broadcast_to(cotangent, (ROWS, *cotangent.shape))
        return pull_back(lambda *values: logits(*values)[task], values, batch)

    return [of(task) for task in core.output]


def _draw(shape: Sequence[int], generator: np.random.Generator) -> Tensor:
    scale = 1.0 if len(shape) < 2 else shape[-2] ** -0.5
    return ops.convert_to_tensor((generator.normal(size=shape) * scale).astype(np.float32))


def _features(core: keras.Model, generator: np.random.Generator) -> dict[str, Tensor]:
    """Rows on which every part of a core depends: random numbers, a table's first row, lengths of one."""
    calls = (node for layer in core.layers if _is_lookup(layer) for node in nodes_of_layer(layer))
    looked_up = {id(tensor) for node in calls for tensor in node.input_tensors}
    features = {}
    for name, tensor in core.input.items():
        shape = (ROWS, *tensor.shape[1:])
        values = (
            np.full(shape, id(tensor) not in looked_up)
            if "int" in tensor.dtype
            else generator.normal(size=shape)
        )
        features[name] = ops.convert_to_tensor(values.astype(tensor.dtype))
    return features


def _is_lookup(layer: keras.layers.Layer) -> bool:
    return hasattr(layer, "input_dim")  # Keras' `Embedding`, and tables in shards
