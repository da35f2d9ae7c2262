"""Base class of optimizers that update only the rows of a batch."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.optimizers.sparse_gradients import beside, rows_of, sum_repeated, values_of, with_values
from keras_smes.types import Tensor


class RowOptimizer(keras.optimizers.Optimizer):
    """Base class of optimizers that skip a row, weights and state, where its gradient is zero.

    A row is a slice along the first axis of a variable. On TensorFlow the gradient of a lookup holds only
    the rows of the batch, and only these are processed; where the gradient is dense (JAX, XLA) all rows
    are, with the same result.

    A subclass creates its state in `build`, returns it from `states_of`, and computes in `row_step`.

    Args:
        learning_rate: Float, a `keras.optimizers.schedules.LearningRateSchedule` or a callable.
        clipnorm: Largest norm of the gradient of one variable, after the parts of repeated ids are summed.
            Defaults to `None`.
        clipvalue: Largest absolute value of an entry of the gradient, after the parts of repeated
            ids are summed. Defaults to `None`.
        global_clipnorm: Largest norm of all gradients together, after the parts of repeated ids are summed.
            Defaults to `None`.
        name: Name of the optimizer. Defaults to `None`, made from the class.

    Raises:
        ValueError: An argument of Keras' optimizers that would update every row of a table in each
            step: `weight_decay`, `use_ema`, `gradient_accumulation_steps`. `loss_scale_factor` is not
            supported either: wrap the optimizer in a `keras.optimizers.LossScaleOptimizer`.
    """

    def __init__(
        self,
        learning_rate: Any,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        for argument, value in kwargs.items():
            raise ValueError(
                f"`{argument}` is not supported by {type(self).__name__}, which updates only the rows "
                f"of a batch. Received: {argument}={value!r}"
            )
        super().__init__(
            learning_rate=learning_rate,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            name=name,
        )

    def add_state(self, variable: Any, **kwargs: Any) -> Any:
        """Returns a new variable on the device of `variable`, such as its parameter server.

        Args:
            variable: The variable that the state belongs to.
            **kwargs: Arguments of `add_variable`.
        """
        with beside(variable):
            return self.add_variable(dtype=variable.dtype, **kwargs)

    def states_of(self, variable: Any) -> Sequence[Any]:
        """Returns the state of `variable`: variables with the same number of rows."""
        raise NotImplementedError

    def row_step(self, gradient: Tensor, learning_rate: Tensor, *values: Tensor) -> Sequence[Tensor]:
        """Returns the new rows of the variable and of its states from the old ones."""
        raise NotImplementedError

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        rows = rows_of(gradient)
        targets = [variable, *self.states_of(variable)]
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
        kept = ("name", "learning_rate", "clipnorm", "clipvalue", "global_clipnorm")
        config = super().get_config()
        return {key: config[key] for key in kept}
