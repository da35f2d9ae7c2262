"""State of a training as arrays and plain values, from which it resumes bit-identically."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_smes.training.loop.selection import Best


@dataclasses.dataclass(frozen=True)
class Progress:
    """Progress of a training, apart from its variables.

    Args:
        epoch: Number of the current epoch, from 0. Defaults to `0`.
        history: The metrics of each finished epoch. Defaults to none.
        selected: The best epoch by the metric that selects weights. Defaults to none yet.
        stopping: The best epoch by the metric of early stopping. Defaults to none yet.
        seconds: Training time, summed over restarts. Defaults to `0.0`.
    """

    epoch: int = 0
    history: tuple[Mapping[str, float], ...] = ()
    selected: Best = dataclasses.field(default_factory=Best)
    stopping: Best = dataclasses.field(default_factory=Best)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Progress":
        """Returns the progress from `to_dict`."""
        bests = {name: Best(**values[name]) for name in ("selected", "stopping")}
        return cls(**{**values, **bests, "history": tuple(values["history"])})


def state_variables(model: keras.Model) -> dict[str, Any]:
    """Returns all variables that a step reads and writes, by stable names.

    These are the weights, the states of seed generators and of the joint loss, the optimizer's slots,
    counters and loss scale, and the means of the epoch. Numbers replace Keras' names, which differ by
    process.
    """
    groups = {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }
    return {f"{group}/{n}": variable for group, own in groups.items() for n, variable in enumerate(own)}


def read_variables(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns copies of the variables' values."""
    return {name: np.array(variable, copy=True) for name, variable in variables.items()}


def write_variables(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Sets the variables.

    Raises:
        ValueError: A name or a shape differs.
    """
    shapes, given = ({name: tuple(value.shape) for name, value in own.items()} for own in (variables, arrays))
    if differing := sorted(name for name in shapes.keys() | given if shapes.get(name) != given.get(name)):
        first = differing[0]
        raise ValueError(
            f"The state must be that of this model, where {first} has shape {shapes.get(first)}. "
            f"Received: shape {given.get(first)}"
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])


def with_prefix(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arrays or variables whose names begin with the prefix."""
    return {name: values for name, values in arrays.items() if name.startswith(f"{prefix}/")}
