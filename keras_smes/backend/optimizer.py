"""The state of an optimizer: its own variables, and how many steps it has behind it."""

from typing import Any

import keras


def own_variables(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """Returns an optimizer's own variables, without those of the optimizers that it is made of."""
    variables: list[Any] = optimizer._variables
    return variables


def set_steps(optimizer: keras.optimizers.Optimizer, steps: int) -> None:
    """Sets the number of steps from which an optimizer counts on, which its schedule goes by."""
    optimizer._iterations.assign(steps)
