"""Base class of the dense baselines: equal experts, all executed by every instance."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_smes.layers.expert_pool import ExpertPool
from keras_smes.layers.initializers import clone, reseeded
from keras_smes.types import Shape, Tensor
from keras_smes.validation import check_count, check_counts


class TaskMixture(keras.layers.Layer):
    """A layer `[B, D] -> [B, T, out]` that mixes experts of equal shape for each task."""

    def __init__(
        self,
        num_tasks: int,
        expert_units: int | Sequence[int],
        expert_activation: Any = "relu",
        output_activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.supports_masking = True
        self.num_tasks = check_count("num_tasks", num_tasks)
        self.expert_units = check_units(expert_units)
        self.expert_activation = keras.activations.get(expert_activation)
        self.output_activation = keras.activations.get(output_activation)
        self.kernel_initializer = clone(kernel_initializer)

    def _pool(self, num_experts: int, name: str, kernel_initializer: Any) -> ExpertPool:
        """Creates a pool that executes all its experts."""
        return ExpertPool(
            num_experts,
            self.expert_units,
            activation=self.expert_activation,
            output_activation=self.output_activation,
            execution="dense",
            kernel_initializer=kernel_initializer,
            name=name,
            dtype=self.dtype_policy,
        )

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        return (input_shape[0], self.num_tasks, self.expert_units[-1])

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        return None  # losses would apply a mask of rows to another axis of the outputs

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "expert_units": self.expert_units,
            "expert_activation": keras.activations.serialize(self.expert_activation),
            "output_activation": keras.activations.serialize(self.output_activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def apart(initializer: Any, step: int = 2**16) -> Iterator[Any]:
    """Yields copies of an initializer for the parts of a layer; all draw differently, with any seed.

    `step` is the number of seeds per part, one for each matrix.
    """
    return (reseeded(initializer, step * part) for part in itertools.count())


def check_units(expert_units: Any) -> list[int]:
    """Returns the widths of an expert's layers as a list; an integer is one layer."""
    if isinstance(expert_units, Sequence):
        return list(check_counts("expert_units", expert_units))
    return [check_count("expert_units", expert_units)]
