"""Finds the weights that tasks share, by their gradients instead of by names."""

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
    """Returns the weights of the last layer before the experts, which all tasks share."""
    layers = [layer for layer in core.layers if layer.name.startswith("encoder_")]
    if not layers:
        raise ValueError(
            "`loss_balance` 'gradnorm' needs an encoder with `units`: it compares gradients of the last "
            "shared weights. Received: units=()"
        )
    variables: list[Any] = layers[-1].trainable_variables
    return variables


def shared_weights(core: keras.Model) -> list[Any]:
    """Returns the dense weights, embeddings excluded, that more than one task uses.

    A task uses an element of a weight if its logits have a gradient with respect to it, at any of a few
    random values of all dense weights. The current values may hide it, such as a layer that starts at zero. A
    weight is shared if two tasks use one of its elements. Task-specific experts of PLE are therefore not
    shared, nor is a stack of gates with one slice per task.
    """
    tables = {id(v) for layer in core.layers if _is_lookup(layer) for v in layer.trainable_variables}
    dense = [variable for variable in core.trainable_variables if id(variable) not in tables]
    return [variable for variable, users in zip(dense, _users(core, dense), strict=True) if np.max(users) > 1]


def _users(core: keras.Model, dense: Sequence[Any]) -> list[np.ndarray]:
    """For each weight, how many tasks use each element."""
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

    compiled: Callable[..., Any] = jax.jit(function)  # compiling operations one by one takes seconds
    return compiled


def _gradients(
    core: keras.Model, own: Sequence[int], values: Sequence[Tensor], features: Mapping[str, Tensor]
) -> list[Sequence[Tensor]]:
    """The gradients of each task's logits by the weights at `own`, at the given values."""
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
    """Inputs on which every part of a core depends: random numbers, ids of a table's first row, lengths 1."""
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
