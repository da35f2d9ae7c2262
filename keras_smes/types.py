"""Types that several packages share."""

from collections.abc import Sequence
from typing import Any, TypeAlias, TypedDict

# Keras and TensorFlow ship no types: a tensor of the backend in use.
Tensor: TypeAlias = Any

# `None` is a size that is known only when the graph runs.
Shape: TypeAlias = Sequence[int | None]


class Routing(TypedDict, total=False):
    """Which experts each instance executes, and with what weight each task mixes them.

    `SharedSubsetRouter` gives the first four entries, `PrivateExpertGate` adds the others. Axes: instances
    `B`, tasks `T`, experts `E`, `K_s` shared and `K_a` private picks, `M` executed experts at most.

    Attributes:
        logits: `[B, T, E]` float32, the logits z.
        probabilities: `[B, T, E]` float32, their softmax.
        shared: `[B, E]` bool, the experts that all tasks share.
        shared_experts: `[B, K_s]` int32, the same as a list.
        private_experts: `[B, T, K_a]` int32, those that each task adds, padded with E.
        executed: `[B, M]` int32, the executed experts, ascending, padded with E.
        slot_weights: `[B, T, M]` float32, their gates g, zero where a task did not pick the expert.
        chosen: `[B, T, E]` bool, whether a task picked the expert.
        union: `[B, E]` bool, the executed experts.
        weights: `[B, T, E]` float32, the gates g of all experts, zero where not picked.
    """

    logits: Tensor
    probabilities: Tensor
    shared: Tensor
    shared_experts: Tensor
    private_experts: Tensor
    executed: Tensor
    slot_weights: Tensor
    chosen: Tensor
    union: Tensor
    weights: Tensor
