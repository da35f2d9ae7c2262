"""MMoE: every task mixes all experts, so every instance runs all of them."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.checks import check_count, check_rank
from keras_smes.layers.expert_pool import ExpertPool
from keras_smes.layers.initializers import clone, stacked

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_smes")
class MMoE(keras.layers.Layer):
    """Multi-gate mixture of experts: one softmax gate a task over all experts.

    ```
    g[b,t,:] = softmax(h[b,:] @ kernel[t,:,:])
    y[b,t,:] = sum over all e of g[b,t,e] * f_e(h[b])
    ```

    Args:
        num_tasks: Integer, tasks T.
        num_experts: Integer, experts E.
        expert_units: Integer, or list of them: widths of an expert's layers.
        expert_activation: Activation after every expert layer but the last. Defaults to `"relu"`.
        output_activation: Activation after an expert's last layer. Defaults to `None`, linear.
        kernel_initializer: Initializer of gates and experts. Defaults to `"glorot_uniform"`.

    Call arguments:
        inputs: `[B, D]` floats, the encoded instances h.

    Returns:
        `[B, T, expert_units[-1]]` in the compute dtype.

    Example:

    >>> MMoE(num_tasks=3, num_experts=4, expert_units=(32, 8))(keras.random.normal((4, 20))).shape
    (4, 3, 8)

    References:
        - [Ma et al., KDD 2018](https://doi.org/10.1145/3219819.3220007)
    """

    def __init__(
        self,
        num_tasks: int,
        num_experts: int,
        expert_units: int | Sequence[int],
        expert_activation: Any = "relu",
        output_activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.num_tasks = check_count("num_tasks", num_tasks)
        self.kernel_initializer = clone(kernel_initializer)
        self.experts = ExpertPool(
            num_experts,
            expert_units,
            activation=expert_activation,
            output_activation=output_activation,
            execution="dense",
            kernel_initializer=kernel_initializer,
            name="experts",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        check_rank("inputs", input_shape, "[batch, width]")
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.num_tasks, input_shape[-1], self.experts.num_experts),
            initializer=stacked(self.kernel_initializer),
            dtype="float32",
            autocast=False,
        )
        self.experts.build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        logits_bte = ops.einsum("bd,tde->bte", ops.cast(inputs, "float32"), self.kernel)
        everyone_be = ops.ones_like(logits_bte[:, 0], dtype="bool")
        expert_e = ops.arange(self.experts.num_experts, dtype="int32")
        routing = {
            "weights": ops.softmax(logits_bte, axis=-1),
            "union": everyone_be,
            "executed": ops.where(everyone_be, expert_e, 0),
        }
        return self.experts(inputs, routing)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (input_shape[0], self.num_tasks, self.experts.units[-1])

    def get_config(self) -> dict[str, Any]:
        experts = self.experts.get_config()
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_experts": self.experts.num_experts,
            "expert_units": self.experts.units,
            "expert_activation": experts["activation"],
            "output_activation": experts["output_activation"],
            "kernel_initializer": experts["kernel_initializer"],
        }
