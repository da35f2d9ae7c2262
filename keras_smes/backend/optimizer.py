"""The state of an optimizer: its own variables, and its number of steps."""

from typing import Any

import keras


def own_variables(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """Returns an optimizer's own variables, without those of nested optimizers."""
    variables: list[Any] = optimizer._variables
    return variables


def set_steps(optimizer: keras.optimizers.Optimizer, steps: int) -> None:
    """Sets the number of steps done, which determines the learning rate."""
    optimizer._iterations.assign(steps)
