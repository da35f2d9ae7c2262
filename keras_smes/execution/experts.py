"""The stacked weights of E expert MLPs, as inputs of an execution."""

from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from keras_smes.types import Tensor


class ExpertLayer(NamedTuple):
    """One layer of every expert: `activation(x @ kernel[e] + bias[e])`."""

    kernel_eio: Tensor
    bias_eo: Tensor
    activation: Callable[[Tensor], Tensor]


class Experts(NamedTuple):
    """E expert MLPs of equal shape; `normalize` scales their outputs to a root mean square of 1."""

    layers: tuple[ExpertLayer, ...]
    normalize: bool

    @property
    def num_experts(self) -> int:
        return int(self.layers[0].kernel_eio.shape[0])

    @property
    def weights_of_one(self) -> int:
        """Kernel weights of one expert, its multiply-adds per instance."""
        return sum(int(k.shape[1]) * int(k.shape[2]) for k, _, _ in self.layers)

    def finish(self, rows: Tensor) -> Tensor:
        """Normalises expert outputs `[..., out]` if `normalize` is set: `y / sqrt(mean(y^2) + 1e-6)`."""
        if not self.normalize:
            return rows
        rows = ops.cast(rows, "float32")
        return rows * ops.rsqrt(ops.mean(ops.square(rows), axis=-1, keepdims=True) + 1e-6)


class Choice(NamedTuple):
    """Which experts each instance executes, and how their outputs are mixed into T outputs.

    Attributes:
        weights_bte: `[B, T, E]` float32 weights, zero where a task did not choose the expert.
        slot_weights_btm: `[B, T, M]`, the same for the executed experts, zero where padded.
        union_be: `[B, E]` bool, the executed experts.
        executed_bm: `[B, M]` int32, the same experts listed ascending, padded with E.
    """

    weights_bte: Tensor
    slot_weights_btm: Tensor
    union_be: Tensor
    executed_bm: Tensor
