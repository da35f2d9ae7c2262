"""Each task's private choice, and the gates over shared and private experts."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_smes import routing as formulas
from keras_smes.layers.masks import Mask, mask_all
from keras_smes.routing import slot_gates
from keras_smes.types import Routing, Shape, Tensor
from keras_smes.validation import check_count, check_counts, check_picks


@keras.saving.register_keras_serializable(package="keras_smes")
class PrivateExpertGate(keras.layers.Layer):
    """Adds private experts to the shared ones and computes each task's gates.

    ```
    A_t(b) = TopK_e(z[b,t,:] over e not in S(b), K_a[t])
    K_t(b) = S(b) + A_t(b)
    g[b,t,:] = softmax of z[b,t,:] over K_t(b), zero elsewhere
    U(b) = union over t of K_t(b)
    ```

    Gradients reach the routers through the gates; the choice has no gradient.

    Args:
        num_private: Number of experts K_a that each task chooses: an integer of at least 0, or a list with
            one per task (the list is our extension; the paper has one number).

    Call arguments:
        routing: From `SharedSubsetRouter`.

    Returns:
        The entries of `routing`, and:

        - `private_experts`, int32 `[B, T, max K_a]`, the sets A, best first, padded with E;
        - `executed`, int32 `[B, M]`, the executed experts U, ascending, padded with E, where
          `M = min(E, K_s + sum_t K_a[t])` is the maximum per instance;
        - `slot_weights`, float32 `[B, T, M]`, the gates g of the executed experts, zero where padded;
        - `chosen`, bool `[B, T, E]`, the task sets; `union`, bool `[B, E]`, U as a mask; `weights`,
          float32 `[B, T, E]`, the gates g.

    Example:

    >>> routing = SharedSubsetRouter(num_tasks=3, num_experts=8, num_shared=2)(keras.random.normal((4, 16)))
    >>> routing = PrivateExpertGate(num_private=1)(routing)
    >>> routing["weights"].shape, routing["executed"].shape
    ((4, 3, 8), (4, 5))

    References:
        - [SMES: Towards Scalable Multi-Task Recommendation via Expert Sparsity](https://arxiv.org/abs/2602.09386)
    """

    def __init__(self, num_private: int | Sequence[int], **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.supports_masking = True
        if isinstance(num_private, Sequence):
            self.num_private: int | list[int] = list(check_counts("num_private", num_private, minimum=0))
        else:
            self.num_private = check_count("num_private", num_private, minimum=0)

    def build(self, routing_shape: Mapping[str, Shape]) -> None:
        num_experts, num_shared = routing_shape["logits"][2], routing_shape["shared_experts"][1]
        assert num_experts is not None
        assert num_shared is not None
        check_picks(num_experts, num_shared, self.private_of_tasks(routing_shape))

    def private_of_tasks(self, routing_shape: Mapping[str, Shape]) -> tuple[int, ...]:
        """Returns K_a of each task."""
        num_tasks = routing_shape["logits"][1]
        if isinstance(self.num_private, int):
            return (self.num_private,) * (num_tasks or 0)
        if len(self.num_private) != num_tasks:
            raise ValueError(
                f"`num_private` must have one entry per task, {num_tasks} of them. "
                f"Received: num_private={self.num_private}"
            )
        return tuple(self.num_private)

    def call(self, routing: Routing) -> Routing:
        logits_bte, shared_bk = routing["logits"], routing["shared_experts"]
        num_experts = logits_bte.shape[2]
        num_private = self.private_of_tasks({"logits": logits_bte.shape})
        private_btk = formulas.private_experts(logits_bte, shared_bk, num_private)
        bound = formulas.union_bound(num_experts, shared_bk.shape[1], num_private)
        executed_bm = formulas.executed_experts(shared_bk, private_btk, num_experts, bound)
        chosen_bte = _in_task_sets(ops.arange(num_experts, dtype="int32")[None], shared_bk, private_btk)
        return {
            **routing,
            "private_experts": private_btk,
            "executed": executed_bm,
            "slot_weights": slot_gates(logits_bte, shared_bk, private_btk, executed_bm),
            # Unused tensors are pruned from graphs.
            "chosen": chosen_bte,
            "union": ops.any(chosen_bte, axis=1),
            "weights": formulas.gates(logits_bte, chosen_bte),
        }

    def compute_output_shape(self, routing_shape: Mapping[str, Shape]) -> dict[str, tuple[int | None, ...]]:
        batch, num_tasks, num_experts = routing_shape["logits"]
        num_shared = routing_shape["shared_experts"][1] or 0
        private = self.private_of_tasks(routing_shape)
        bound = formulas.union_bound(num_experts or 0, num_shared, private)
        return {
            **{name: tuple(shape) for name, shape in routing_shape.items()},
            "private_experts": (batch, num_tasks, max(private)),
            "executed": (batch, bound),
            "slot_weights": (batch, num_tasks, bound),
            "chosen": (batch, num_tasks, num_experts),
            "union": (batch, num_experts),
            "weights": (batch, num_tasks, num_experts),
        }

    def compute_mask(self, routing: Mapping[str, Tensor], mask: Mask = None) -> dict[str, Tensor | None]:
        return mask_all(self.compute_output_shape({name: t.shape for name, t in routing.items()}), mask)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_private": self.num_private}


def _in_task_sets(experts_bn: Tensor, shared_bk: Tensor, private_btk: Tensor) -> Tensor:
    """Returns whether each of the experts is in `K_t(b) = S(b) + A_t(b)`: bool `[B, T, n]`."""
    shared_bn = formulas.among(experts_bn, shared_bk)
    return ops.logical_or(shared_bn[:, None, :], formulas.among(experts_bn[:, None, :], private_btk))
