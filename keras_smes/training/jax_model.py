"""The model that is fitted, on the JAX backend: a step is a function of a state, and returns the next."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.training.model import MultiTaskModel

Tensor = Any
State = tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]


class JaxMultiTaskModel(MultiTaskModel):
    """A `MultiTaskModel` as Keras' `fit` trains it on JAX. `GradNorm` and `PCGrad` need TensorFlow."""

    def train_step(  # type: ignore[override]  # each backend of Keras has its own
        self, state: State, data: tuple[Any, ...]
    ) -> tuple[dict[str, Tensor], State]:
        import jax

        trainable, others, of_optimizer, of_metrics = state

        def loss_of(trainable: list[Tensor]) -> tuple[Tensor, Any]:
            variables = [*self.trainable_variables, *self.non_trainable_variables]
            mapping = list(zip(variables, [*trainable, *others], strict=True))
            with keras.StatelessScope(mapping, collect_losses=True) as scope:
                losses, step = self.step_losses(data, training=True)
            return step.total, (losses, _values(self.non_trainable_variables, others, scope))

        (total, (losses, after)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
        place = _place(self.is_broken, self.non_trainable_variables)
        finite = [ops.isfinite(total), *(ops.isfinite(ops.sum(gradient)) for gradient in gradients)]
        is_good = ops.logical_and(ops.all(ops.stack(finite)), ops.logical_not(others[place]))
        moved, moved_optimizer = self.optimizer.stateless_apply(of_optimizer, gradients, trainable)
        after[place] = ops.logical_not(is_good)
        place = _place(self.steps_done, self.non_trainable_variables)
        after[place] = others[place] + ops.cast(is_good, others[place].dtype)
        logs, of_metrics = self._after_means(of_metrics, losses, total, data[2])

        def chosen(new: Sequence[Tensor], old: Sequence[Tensor]) -> list[Tensor]:
            return [ops.where(is_good, *pair) for pair in zip(new, old, strict=True)]

        return logs, (chosen(moved, trainable), after, chosen(moved_optimizer, of_optimizer), of_metrics)

    def _after_means(
        self, of_metrics: list[Tensor], losses: dict[str, Tensor], total: Tensor, counted: Any
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        mapping = list(zip(self.metrics_variables, of_metrics, strict=True))
        with keras.StatelessScope(mapping) as scope:
            logs = self._means(losses, total, counted)
        return logs, _values(self.metrics_variables, of_metrics, scope)


def _values(variables: Sequence[Any], old: Sequence[Tensor], scope: Any) -> list[Tensor]:
    """The variables' values at the end of a scope."""
    found = (scope.get_current_value(variable) for variable in variables)
    return [before if value is None else value for before, value in zip(old, found, strict=True)]


def _place(variable: Any, variables: Sequence[Any]) -> int:
    return next(n for n, other in enumerate(variables) if other is variable)
