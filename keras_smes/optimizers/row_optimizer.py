"""What optimizers share that change the rows a batch has touched, and no others."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.optimizers.rows import beside, rows_of, sum_repeated, values_of, with_values

Tensor = Any


class RowOptimizer(keras.optimizers.Optimizer):
    """Base of optimizers that leave a row alone, weights and state, in steps where its gradient is zero.

    A row is a slice along the first axis of a variable. On TensorFlow the gradient of a look-up
    holds the looked-up rows alone, and so does the work; where the gradient is dense (JAX, XLA)
    all rows are gone through, with the same result.

    A subclass makes its state in `build`, hands it out in `states_of`, and computes in `row_step`.

    Args:
        learning_rate: Float, a `keras.optimizers.schedules.LearningRateSchedule` or a callable.
        clipnorm: Largest norm of the gradient of one variable, the parts of a repeated id summed.
            Defaults to `None`.
        clipvalue: Largest absolute value of an entry of the gradient, the parts of a repeated id
            summed. Defaults to `None`.
        global_clipnorm: Largest norm of all gradients together, the parts of a repeated id summed.
            Defaults to `None`.
        name: Name of the optimizer. Defaults to `None`: made from the class.

    Raises:
        ValueError: An argument that Keras' optimizers take but that would go through every row of a
            table each step: `weight_decay`, `use_ema`, `gradient_accumulation_steps`. Nor is there
            `loss_scale_factor`: `keras.optimizers.LossScaleOptimizer` works around this one.
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
                f"`{argument}` is no argument of {type(self).__name__}, which touches no rows but those "
                f"of the batch. Received: {argument}={value!r}"
            )
        super().__init__(
            learning_rate=learning_rate,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            name=name,
        )

    def add_state(self, variable: Any, **kwargs: Any) -> Any:
        """Returns a new variable that lies beside `variable`, on whichever parameter server that may be.

        Args:
            variable: The variable whose state it is.
            **kwargs: Arguments of `add_variable`.
        """
        with beside(variable):
            return self.add_variable(dtype=variable.dtype, **kwargs)

    def states_of(self, variable: Any) -> Sequence[Any]:
        """Returns the state of `variable`: variables with as many rows."""
        raise NotImplementedError

    def row_step(self, gradient: Tensor, learning_rate: Tensor, *values: Tensor) -> Sequence[Tensor]:
        """Returns the new rows of the variable and of its states, out of the old ones."""
        raise NotImplementedError

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        rows = rows_of(gradient)
        targets = [variable, *self.states_of(variable)]
        gradient, rate = (ops.cast(x, variable.dtype) for x in (rows.gradient, learning_rate))
        new = self.row_step(gradient, rate, *(rows.read(target) for target in targets))
        for target, values in zip(targets, new, strict=True):
            rows.write(target, values)

    def _clip_gradients(self, grads: Sequence[Any]) -> Sequence[Any]:
        # Keras would clip each part of a repeated id by itself, and make a table's gradient dense for
        # the global norm. Rows that aren't there are zero: they change no norm.
        if all(limit is None for limit in (self.clipnorm, self.clipvalue, self.global_clipnorm)):
            return grads
        summed = [sum_repeated(gradient) for gradient in grads]
        clipped = super()._clip_gradients([values_of(gradient) for gradient in summed])
        return [with_values(*pair) for pair in zip(summed, clipped, strict=True)]

    def get_config(self) -> dict[str, Any]:
        kept = ("name", "learning_rate", "clipnorm", "clipvalue", "global_clipnorm")
        config = super().get_config()
        return {key: config[key] for key in kept}
