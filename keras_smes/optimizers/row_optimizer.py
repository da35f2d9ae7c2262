"""Base class of optimizers that update only the rows of a batch."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.backend.optimizer import place_of
from keras_smes.optimizers.sparse_gradients import (
    beside,
    path_of,
    rows_of,
    sum_repeated,
    values_of,
    with_values,
)
from keras_smes.types import Tensor

CONFIG = ("name", "clipnorm", "clipvalue", "global_clipnorm")


class RowOptimizer(keras.optimizers.Optimizer):
    """Base class of optimizers that skip a row, weights and state, where its gradient is zero.

    A row is a slice along the first axis of a variable. On TensorFlow the gradient of a lookup holds only
    the rows of the batch, and only these are processed; where the gradient is dense (JAX, XLA) all rows
    are, with the same result.

    A subclass creates the state of a variable in `new_state` and computes in `row_step`.

    Args:
        learning_rate: Float, a `keras.optimizers.schedules.LearningRateSchedule` or a callable.
        **kwargs: `name`, `clipnorm`, `clipvalue` and `global_clipnorm` of `keras.optimizers.Optimizer`; the
            parts of repeated ids are summed before they are clipped.

    Raises:
        ValueError: An argument of Keras' optimizers that would update every row of a table in each
            step: `weight_decay`, `use_ema`, `gradient_accumulation_steps`. `loss_scale_factor` is not
            supported either: wrap the optimizer in a `keras.optimizers.LossScaleOptimizer`.
    """

    def __init__(self, learning_rate: Any, **kwargs: Any) -> None:
        for argument in sorted(set(kwargs) - set(CONFIG)):
            raise ValueError(
                f"`{argument}` is not supported by {type(self).__name__}, which updates only the rows "
                f"of a batch. Received: {argument}={kwargs[argument]!r}"
            )
        super().__init__(learning_rate=learning_rate, **kwargs)

    def build(self, variables: Sequence[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        self._states = [self.new_state(variable) for variable in variables]

    def new_state(self, variable: Any) -> Any:
        """Returns the state of `variable`: a new variable with the same number of rows."""
        raise NotImplementedError

    def state_of(self, variable: Any) -> Any:
        """Returns the state of `variable`."""
        return self._states[place_of(self, variable)]

    def add_state(self, variable: Any, name: str, shape: Sequence[int], **kwargs: Any) -> Any:
        """Returns a new variable on the device of `variable`, such as its parameter server."""
        name = f"{path_of(variable).replace('/', '_')}_{name}"
        with beside(variable):
            return self.add_variable(shape=shape, dtype=variable.dtype, name=name, **kwargs)

    def row_step(
        self, gradient: Tensor, learning_rate: Tensor, weights: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the new rows of the variable and of its state from the old ones."""
        raise NotImplementedError

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        rows = rows_of(gradient)
        targets = (variable, self.state_of(variable))
        gradient, rate = (ops.cast(x, variable.dtype) for x in (rows.gradient, learning_rate))
        new = self.row_step(gradient, rate, *(rows.read(target) for target in targets))
        for target, values in zip(targets, new, strict=True):
            rows.write(target, values)

    def _clip_gradients(self, grads: Sequence[Any]) -> Sequence[Any]:
        # Keras would clip each part of a repeated id separately, and make a table's gradient dense for
        # the global norm. Missing rows are zero and change no norm.
        if all(limit is None for limit in (self.clipnorm, self.clipvalue, self.global_clipnorm)):
            return grads
        summed = [sum_repeated(gradient) for gradient in grads]
        clipped = super()._clip_gradients([values_of(gradient) for gradient in summed])
        return [with_values(*pair) for pair in zip(summed, clipped, strict=True)]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {key: config[key] for key in ("learning_rate", *CONFIG)}
