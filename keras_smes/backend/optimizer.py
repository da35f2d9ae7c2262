"""The state of an optimizer: its own variables, those of each weight, and its number of steps."""

from typing import Any

import keras


def own_variables(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """Returns an optimizer's own variables, without those of nested optimizers."""
    variables: list[Any] = optimizer._variables
    return variables


def trained_variables(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """Returns the variables that a built optimizer updates, in the order of its state."""
    variables: list[Any] = optimizer._trainable_variables
    return variables


def place_of(optimizer: keras.optimizers.Optimizer, variable: Any) -> int:
    """Returns the place of a variable among those that a built optimizer updates."""
    place: int = optimizer._get_variable_index(variable)
    return place


def moments_of(adam: keras.optimizers.Adam, variable: Any) -> tuple[Any, Any]:
    """Returns the first and the second moment of a variable's gradient, as Keras' Adam holds them."""
    place = place_of(adam, variable)
    return adam._momentums[place], adam._velocities[place]


def set_steps(optimizer: keras.optimizers.Optimizer, steps: int) -> None:
    """Sets the number of steps done, which determines the learning rate."""
    optimizer._iterations.assign(steps)
