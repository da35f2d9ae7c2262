"""One optimizer for the embeddings, another for all other variables."""

import re
import warnings
from collections.abc import Sequence
from typing import Any

import keras

from keras_smes.backend.optimizer import own_variables, trained_variables
from keras_smes.optimizers.sparse_gradients import path_of

EMBEDDINGS = r"(.*/)?embeddings"


@keras.saving.register_keras_serializable(package="keras_smes")
class SplitOptimizer(keras.optimizers.Optimizer):
    """Gives the embeddings one optimizer and the rest of the model another.

    Each keeps its own learning rate and schedule, state, clipping (`global_clipnorm` is over its own
    variables) and weight decay.

    Args:
        embeddings: The `keras.optimizers.Optimizer` of the variables whose path matches `pattern`.
        rest: The optimizer of the other variables.
        pattern: Regular expression for the whole path of an embedding variable.
            Defaults to `"(.*/)?embeddings"`, the tables of Keras' `Embedding` layers.
        name: Name of the optimizer. Defaults to `None`, made from the class.

    Attributes:
        learning_rate: That of `rest`, read-only, for callbacks. Set
            `optimizer.embeddings.learning_rate` and `optimizer.rest.learning_rate` instead.

    Raises:
        ValueError: The optimizers are the same, or one scales the loss (wrap this optimizer in a
            `keras.optimizers.LossScaleOptimizer` instead); `pattern` is not a regular expression, or matches
            no variable.

    Example:

    >>> ids = keras.Input((10,), dtype="int32")
    >>> x = keras.layers.Embedding(100_000, 16)(ids)
    >>> model = keras.Model(ids, keras.layers.Dense(1)(keras.layers.Flatten()(x)))
    >>> optimizer = SplitOptimizer(embeddings=RowwiseAdagrad(0.02), rest=keras.optimizers.Adam(0.001))
    >>> model.compile(optimizer, loss="mse")
    """

    def __init__(
        self,
        embeddings: keras.optimizers.Optimizer,
        rest: keras.optimizers.Optimizer,
        pattern: str = EMBEDDINGS,
        name: str | None = None,
    ) -> None:
        for argument, optimizer in (("embeddings", embeddings), ("rest", rest)):
            _check_optimizer(argument, optimizer)
        if embeddings is rest:
            raise ValueError(
                f"`embeddings` and `rest` must be two optimizers. Received the same twice: {rest!r}"
            )
        super().__init__(learning_rate=lambda: rest.learning_rate, name=name)
        self.embeddings = embeddings
        self.rest = rest
        self.pattern = _check_pattern(pattern)

    def build(self, variables: Sequence[Any]) -> None:
        if self.built:
            return
        embeddings = [variable for variable in variables if self.is_embedding(variable)]
        if not embeddings:
            raise ValueError(
                "`pattern` must match the path of a variable of the model, which has "
                f"{[path_of(variable) for variable in variables]}. Received: pattern={self.pattern!r}"
            )
        self.embeddings.build(embeddings)
        self.rest.build([variable for variable in variables if not self.is_embedding(variable)])
        super().build(variables)

    def is_embedding(self, variable: Any) -> bool:
        """Whether `variable` is given to the optimizer `embeddings`."""
        return re.fullmatch(self.pattern, path_of(variable)) is not None

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        if trainable_variables is None:
            trainable_variables = trained_variables(self)
        self.build(list(trainable_variables))
        pairs = list(zip(grads, trainable_variables, strict=True))
        if pairs and all(grad is None for grad, _ in pairs):
            raise ValueError(
                "No gradients provided for any variable: the loss must depend on one. "
                f"Received: None for {[path_of(variable) for _, variable in pairs]}"
            )
        for optimizer, takes in ((self.embeddings, True), (self.rest, False)):
            if own := [pair for pair in pairs if self.is_embedding(pair[1]) is takes]:
                _apply(optimizer, own)
        self.assign_add(self.iterations, 1)

    @property
    def variables(self) -> list[Any]:
        return [*own_variables(self), *self.embeddings.variables, *self.rest.variables]

    @property
    def learning_rate(self) -> Any:
        return self.rest.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        raise ValueError(
            "`learning_rate` of a SplitOptimizer can't be set: set that of its `embeddings` or `rest`. "
            f"Received: learning_rate={value!r}"
        )

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        self.embeddings.finalize_variable_values([v for v in var_list if self.is_embedding(v)])
        self.rest.finalize_variable_values([v for v in var_list if not self.is_embedding(v)])

    def get_config(self) -> dict[str, Any]:
        return {
            "embeddings": keras.saving.serialize_keras_object(self.embeddings),
            "rest": keras.saving.serialize_keras_object(self.rest),
            "pattern": self.pattern,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "SplitOptimizer":
        parts = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
            for key in ("embeddings", "rest")
        }
        return cls(**{**config, **parts})


def _apply(optimizer: keras.optimizers.Optimizer, pairs: Sequence[tuple[Any, Any]]) -> None:
    """Applies gradients; without any, counts a step, which Keras' optimizers reject."""
    if all(grad is None for grad, _ in pairs):
        paths = [path_of(variable) for _, variable in pairs]
        warnings.warn(f"Gradients do not exist for variables {paths}.", stacklevel=3)
        optimizer.assign_add(optimizer.iterations, 1)
    else:
        optimizer.apply([grad for grad, _ in pairs], [variable for _, variable in pairs])


def _check_optimizer(name: str, value: Any) -> None:
    if not isinstance(value, keras.optimizers.Optimizer):
        raise ValueError(f"`{name}` must be a Keras optimizer. Received: {name}={value!r}")
    if isinstance(value, keras.optimizers.LossScaleOptimizer) or value.loss_scale_factor is not None:
        raise ValueError(
            f"`{name}` must not scale the loss: wrap the SplitOptimizer in a LossScaleOptimizer. "
            f"Received: {name}={value!r}"
        )


def _check_pattern(pattern: Any) -> str:
    try:
        return str(re.compile(pattern).pattern)
    except (TypeError, re.error) as error:
        raise ValueError(
            f"`pattern` must be a regular expression ({error}). Received: pattern={pattern!r}"
        ) from error
