"""MMoE: every task mixes all experts, and every instance executes all of them."""

import itertools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.baselines.task_mixture import TaskMixture, apart
from keras_smes.layers.expert_pool import every_expert
from keras_smes.layers.initializers import stacked
from keras_smes.types import Shape, Tensor
from keras_smes.validation import check_rank


@keras.saving.register_keras_serializable(package="keras_smes")
class MMoE(TaskMixture):
    """Multi-gate mixture of experts: one softmax gate per task over all experts.

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
        super().__init__(
            num_tasks, expert_units, expert_activation, output_activation, kernel_initializer, **kwargs
        )
        self.gate_initializer, experts = itertools.islice(apart(self.kernel_initializer), 2)
        self.experts = self._pool(num_experts, "experts", experts)

    def build(self, input_shape: Shape) -> None:
        check_rank("inputs", input_shape, "[batch, width]")
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.num_tasks, input_shape[-1], self.experts.num_experts),
            initializer=stacked(self.gate_initializer),
            dtype="float32",
            autocast=False,
        )
        self.experts.build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        logits_bte = ops.einsum("bd,tde->bte", ops.cast(inputs, "float32"), self.kernel)
        return self.experts(inputs, every_expert(ops.softmax(logits_bte, axis=-1)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_experts": self.experts.num_experts}
