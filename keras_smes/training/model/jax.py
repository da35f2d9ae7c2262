"""The trained model on the JAX backend: a step maps a state to the next one."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.backend.replicas import add_to
from keras_smes.training.model.multi_task import MultiTaskModel
from keras_smes.training.task_losses import StepLosses
from keras_smes.types import Tensor

State = tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]


class JaxMultiTaskModel(MultiTaskModel):
    """A `MultiTaskModel` as Keras' `fit` trains it on JAX."""

    def train_step(  # type: ignore[override]  # each backend of Keras has its own
        self, state: State, data: tuple[Any, ...]
    ) -> tuple[dict[str, Tensor], State]:
        import jax

        trainable, others, of_optimizer, of_metrics = state
        with keras.StatelessScope(list(zip(self.optimizer.variables, of_optimizer, strict=True))):
            scale = self._scale()

        def losses_of(trainable: list[Tensor]) -> tuple[StepLosses, Any]:
            with self._scope(trainable, others) as scope:
                losses, step = self.step_losses(data, training=True)
            return step.scaled(scale), (losses, step, _values(self.non_trainable_variables, others, scope))

        scaled, pull_back, (losses, step, others) = jax.vjp(losses_of, trainable, has_aux=True)
        places = {id(variable): n for n, variable in enumerate(self.trainable_variables)}

        def differentiate(pick: Callable[[StepLosses], Tensor], variables: Sequence[Any]) -> list[Any]:
            # The cotangent is 1 for the picked loss and 0 for the others.
            (gradients,) = pull_back(jax.grad(pick)(scaled))
            return [gradients[places[id(variable)]] for variable in variables]

        with self._scope(trainable, others) as scope:
            gradients = self.joint.gradients(differentiate, step, self.trainable_variables, scale)
            is_good = self._is_good(gradients, step.total)
            self.is_broken.assign(ops.logical_not(is_good))
            add_to(self.steps_done, is_good)
        others = _values(self.non_trainable_variables, others, scope)
        moved, moved_optimizer = self.optimizer.stateless_apply(of_optimizer, gradients, trainable)
        logs, of_metrics = self._after_means(of_metrics, losses, step.total, data[2])

        def chosen(new: Sequence[Tensor], old: Sequence[Tensor]) -> list[Tensor]:
            return [ops.where(is_good, *pair) for pair in zip(new, old, strict=True)]

        return logs, (chosen(moved, trainable), others, chosen(moved_optimizer, of_optimizer), of_metrics)

    def _scope(self, trainable: Sequence[Tensor], others: Sequence[Tensor]) -> Any:
        variables = [*self.trainable_variables, *self.non_trainable_variables]
        mapping = list(zip(variables, [*trainable, *others], strict=True))
        return keras.StatelessScope(mapping, collect_losses=True)

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
