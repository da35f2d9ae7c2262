"""The stacked weights of E expert MLPs."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_smes import execution as ways
from keras_smes.execution.dispatch import check_execution
from keras_smes.layers.initializers import clone, reseeded, stacked
from keras_smes.routing import take_slots
from keras_smes.types import Routing, Shape, Tensor
from keras_smes.validation import check_count, check_counts, check_rank


@keras.saving.register_keras_serializable(package="keras_smes")
class ExpertPool(keras.layers.Layer):
    """Runs each chosen expert once per instance and mixes the outputs for each task.

    ```
    f_e(h) = MLP of expert e
    y[b,t,:] = sum over e in U(b) of weights[b,t,e] * f_e(h[b])
    ```

    The pool knows no routers: it takes any weights, and executes the experts of `union`.

    Args:
        num_experts: Integer, experts E.
        units: Integer, or list of them: widths of an expert's layers.
        activation: Activation after every layer but the last. Defaults to `"relu"`.
        output_activation: Activation after the last layer. Defaults to `None`, linear.
        normalize: Boolean, whether an expert's output is scaled to a root mean square of 1, so that
            no expert outweighs others by its norm. Defaults to `False`.
        execution: `"auto"`, or a fixed execution: `"dense"`, `"grouped"` (TensorFlow
            graphs), `"blocks"` (XLA), `"tiles"` (XLA on GPUs) or `"ragged"` (JAX). All have the same
            result. Defaults to `"auto"`.
        kernel_initializer: Initializer of each expert's kernels; experts get different values with any
            seed. Defaults to `"glorot_uniform"`.
        bias_initializer: Initializer of the biases. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of the kernels. Defaults to `None`.

    Call arguments:
        inputs: `[B, D]` floats, the encoded instances h.
        routing: From `PrivateExpertGate`, with `weights`, `slot_weights`, `union` and `executed`. Missing
            `slot_weights` are taken from `weights`.
        training: Boolean; whether `"auto"` chooses an execution that is fast with gradients.

    Returns:
        `[B, T, units[-1]]` in the compute dtype. Mixing is done in float32.

    Attributes:
        kernels: One `[E, in, out]` variable per layer.
        biases: One `[E, out]` variable per layer.

    Example:

    >>> h = keras.random.normal((4, 16))
    >>> routing = SharedSubsetRouter(num_tasks=3, num_experts=8, num_shared=2)(h)
    >>> routing = PrivateExpertGate(num_private=1)(routing)
    >>> ExpertPool(num_experts=8, units=(32, 12))(h, routing).shape
    (4, 3, 12)

    References:
        - [SMES: Towards Scalable Multi-Task Recommendation via Expert Sparsity](https://arxiv.org/abs/2602.09386)
    """

    def __init__(
        self,
        num_experts: int,
        units: int | Sequence[int],
        activation: Any = "relu",
        output_activation: Any = None,
        normalize: bool = False,
        execution: str = "auto",
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.supports_masking = True
        self.num_experts = check_count("num_experts", num_experts)
        widths = units if isinstance(units, Sequence) else [units]
        self.units = list(check_counts("units", widths))
        self.activation = keras.activations.get(activation)
        self.output_activation = keras.activations.get(output_activation)
        self.normalize = bool(normalize)
        self.execution = check_execution(execution)
        self.kernel_initializer = clone(kernel_initializer)
        self.bias_initializer = clone(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernels: list[Any] = []
        self.biases: list[Any] = []

    def build(self, inputs_shape: Shape, routing_shape: Any = None) -> None:
        check_rank("inputs", inputs_shape, "[batch, width]")
        widths = [inputs_shape[-1], *self.units]
        for layer, (width_in, width_out) in enumerate(itertools.pairwise(widths)):
            kernel = self.add_weight(
                name=f"kernel_{layer}",
                shape=(self.num_experts, width_in, width_out),
                initializer=stacked(reseeded(self.kernel_initializer, layer * self.num_experts)),
                regularizer=self.kernel_regularizer,
            )
            bias = self.add_weight(
                name=f"bias_{layer}",
                shape=(self.num_experts, width_out),
                initializer=stacked(reseeded(self.bias_initializer, layer * self.num_experts)),
            )
            self.kernels.append(kernel)
            self.biases.append(bias)

    def call(self, inputs: Tensor, routing: Routing, training: bool | None = None) -> Tensor:
        choice = _choice(routing)
        if choice.union_be.shape[-1] != self.num_experts:
            raise ValueError(
                f"`routing` must choose among num_experts={self.num_experts} experts. "
                f"Received: routing['union'] of shape {tuple(choice.union_be.shape)}"
            )
        inputs_bd = ops.cast(inputs, self.compute_dtype)
        outputs_bto = ways.run(self.execution, inputs_bd, choice, self.as_experts(), bool(training))
        return ops.cast(outputs_bto, self.compute_dtype)

    def as_experts(self) -> ways.Experts:
        """Returns the weights in the compute dtype, for `execution`."""
        activations = [self.activation] * (len(self.units) - 1) + [self.output_activation]
        layers = [
            ways.ExpertLayer(
                ops.cast(kernel, self.compute_dtype), ops.cast(bias, self.compute_dtype), activation
            )
            for kernel, bias, activation in zip(self.kernels, self.biases, activations, strict=True)
        ]
        return ways.Experts(tuple(layers), self.normalize)

    def compute_output_shape(
        self, inputs_shape: Shape, routing_shape: Mapping[str, Shape]
    ) -> tuple[int | None, ...]:
        return (inputs_shape[0], routing_shape["weights"][1], self.units[-1])

    def compute_mask(
        self, inputs: Tensor, routing: Routing | None = None, mask: Tensor | None = None
    ) -> None:
        return None  # losses would apply a mask of rows to another axis of the outputs

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_experts": self.num_experts,
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "output_activation": keras.activations.serialize(self.output_activation),
            "normalize": self.normalize,
            "execution": self.execution,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def every_expert(weights_bte: Tensor) -> Routing:
    """Returns a routing with which an `ExpertPool` runs all experts and mixes them by `weights_bte`."""
    everyone_be = ops.ones_like(weights_bte[:, 0], dtype="bool")
    expert_e = ops.arange(weights_bte.shape[2], dtype="int32")
    return {
        "weights": weights_bte,
        "union": everyone_be,
        "executed": ops.where(everyone_be, expert_e, 0),
    }


def _choice(routing: Routing) -> ways.Choice:
    weights_bte, executed_bm = routing["weights"], routing["executed"]
    slot_weights_btm = routing.get("slot_weights")
    if slot_weights_btm is None:
        in_use_bm = ops.less(executed_bm, weights_bte.shape[2])
        slot_weights_btm = ops.where(in_use_bm[:, None, :], take_slots(weights_bte, executed_bm), 0.0)
    return ways.Choice(weights_bte, slot_weights_btm, routing["union"], executed_bm)
