"""Training state beside the ranker's weights, under names that a larger model can map.

A checkpoint resumes the same model; this state initialises the next one, which may have more ids, experts or
tasks. Weights are numbered within their layer, and optimizer slots are named after their weight.
"""

from typing import Any

import keras
import numpy as np

from keras_smes.backend.optimizer import own_variables
from keras_smes.optimizers import SplitOptimizer
from keras_smes.training.model.multi_task import MultiTaskModel

STEPS = "steps"
SLOTS, JOINT = "slots/", "joint/"


def weights_by_name(core: keras.Model) -> dict[str, Any]:
    """Returns the weights of a ranker's core as `LAYER/N`, since Keras' names may differ by process."""
    return {f"{layer.name}/{n}": weight for layer in core.layers for n, weight in enumerate(layer.weights)}


def joint_by_name(model: MultiTaskModel) -> dict[str, Any]:
    """Returns the variables of the joint loss, as `joint/N`."""
    state = model.joint_state
    variables = [state.state] if isinstance(state, keras.random.SeedGenerator) else state.variables
    return {f"{JOINT}{n}": variable for n, variable in enumerate(variables)}


def slots_by_name(model: MultiTaskModel) -> dict[str, Any]:
    """Returns the optimizer's slots as `slots/WEIGHT/KIND`."""
    named = {**weights_by_name(model.core), **joint_by_name(model)}
    # Keras names a slot after the path of its weight.
    owners = {weight.path.replace("/", "_"): name for name, weight in named.items()}
    slots = {}
    for optimizer in parts_of(model.optimizer):
        for variable in own_variables(optimizer):
            owner, _, kind = variable.name.rpartition("_")
            if owner in owners:
                slots[f"{SLOTS}{owners[owner]}/{kind}"] = variable
    return slots


def parts_of(optimizer: keras.optimizers.Optimizer) -> list[keras.optimizers.Optimizer]:
    """Returns an optimizer and its nested optimizers, the innermost last."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return [optimizer, *parts_of(optimizer.inner_optimizer)]
    if isinstance(optimizer, SplitOptimizer):
        return [optimizer, *parts_of(optimizer.embeddings), *parts_of(optimizer.rest)]
    return [optimizer]


def learned(model: MultiTaskModel) -> dict[str, np.ndarray]:
    """Returns the slots, the state of the joint loss, and the optimizer's steps, as arrays."""
    variables = {**slots_by_name(model), **joint_by_name(model)}
    steps = np.array(parts_of(model.optimizer)[-1].iterations)
    return {STEPS: steps, **{name: np.array(variable, copy=True) for name, variable in variables.items()}}
