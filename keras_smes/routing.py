"""Routing: which experts an instance executes, and each task's weights of them.

Pure functions on float32 tensors, which follow the section "Routing" of the specification line by line. Axes
in names: `b` instances, `t` tasks, `e` experts, `k` picks, `m` slots of the union, which are an instance's
executed experts. Choices are lists of experts instead of masks, since the cost of routing is passes over all
E.

Source: SMES, "Towards Scalable Multi-Task Recommendation via Expert Sparsity" (arXiv 2602.09386).
"""

import functools
from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_smes.backend.rows import place_dtype, take_values
from keras_smes.backend.top_k import top_k
from keras_smes.types import Tensor


def union_bound(num_experts: int, num_shared: int, num_private: Sequence[int]) -> int:
    """Returns the maximum number of executed experts per instance: `min(E, K_s + sum_t K_a[t])`."""
    return min(num_experts, num_shared + sum(num_private))


def joint_score(probabilities_bte: Tensor, task_weights_t: Tensor) -> Tensor:
    """Returns the joint score of each expert over tasks: `s[b,e] = sum_t w[t] * p[b,t,e]`."""
    return ops.matmul(task_weights_t[None, None, :], probabilities_bte)[:, 0]


def among(experts: Tensor, picks: Tensor) -> Tensor:
    """Returns whether each of `experts [..., n]` is among `picks [..., k]`: bool `[..., n]`."""
    if picks.shape[-1] == 0:
        spread = experts + ops.sum(picks, axis=-1, keepdims=True)  # broadcasts; the empty sum is 0
        return ops.not_equal(spread, spread)
    matches = (ops.equal(experts, picks[..., k : k + 1]) for k in range(picks.shape[-1]))
    return functools.reduce(ops.logical_or, matches)


def mask(picks: Tensor, num_experts: int) -> Tensor:
    """Returns the experts of `picks [..., k]` as a mask `[..., E]`."""
    return among(ops.arange(num_experts, dtype="int32"), picks)


def shared_subset(score_be: Tensor, num_shared: int) -> Tensor:
    """Returns the shared experts `S(b) = TopK_e(s[b,:], K_s)`, int32 `[B, K_s]`, ascending."""
    return ops.sort(top_k(score_be, num_shared), axis=-1)


def private_experts(logits_bte: Tensor, shared_bk: Tensor, num_private: Sequence[int]) -> Tensor:
    """Returns each task's private experts: `A_t(b) = TopK_e(z[b,t,:] over e not in S(b), K_a[t])`.

    The result is int32 `[B, T, max K_a]`, best first, padded with E.
    """
    num_experts = logits_bte.shape[-1]
    closed_be = ops.cast(ops.where(mask(shared_bk, num_experts), -float("inf"), 0.0), logits_bte.dtype)
    open_bte = logits_bte + closed_be[:, None, :]  # twice as fast as `where`
    if len(set(num_private)) == 1:
        private_btk = top_k(open_bte, num_private[0])
    else:
        tasks = [top_k(open_bte[:, t], k) for t, k in enumerate(num_private)]
        private_btk = ops.stack([_pad(task_bk, max(num_private), num_experts) for task_bk in tasks], axis=1)
    # If all open logits are -inf, top-k may return shared experts.
    return ops.where(among(private_btk, shared_bk[:, None, :]), num_experts, private_btk)


def _pad(picks_bk: Tensor, width: int, num_experts: int) -> Tensor:
    return ops.pad(picks_bk, ((0, 0), (0, width - picks_bk.shape[1])), constant_values=num_experts)


def executed_experts(shared_bk: Tensor, private_btk: Tensor, num_experts: int, bound: int) -> Tensor:
    """Returns each instance's executed experts `U(b)`: int32 `[B, M]`, ascending, unique, padded with E.

    The static size M is the bound on `|U(b)|`.
    """
    tasks = [private_btk[:, t] for t in range(private_btk.shape[1])]
    sorted_bk = ops.sort(ops.concatenate([shared_bk, *tasks], axis=-1), axis=-1)
    repeated_bk = ops.equal(sorted_bk[:, 1:], sorted_bk[:, :-1])
    once_bk = ops.where(repeated_bk, num_experts, sorted_bk[:, 1:])
    return ops.sort(ops.concatenate([sorted_bk[:, :1], once_bk], axis=-1), axis=-1)[:, :bound]


def gates(logits: Tensor, chosen: Tensor) -> Tensor:
    """Returns a task's gates `g[b,t,:] = softmax of z[b,t,:] over K_t(b)`, zero elsewhere.

    Args:
        logits: `[B, T, E]`, or those of the slots, `[B, T, M]`.
        chosen: Bool of the same shape, whether the expert is in `K_t(b)`.
    """
    return ops.softmax(ops.where(chosen, logits, -float("inf")), axis=-1)


def take_slots(values_bte: Tensor, executed_bm: Tensor) -> Tensor:
    """Gathers `values[b,t,e]` of each instance's executed experts, `[B, T, M]`.

    Args:
        values_bte: `[B, T, E]`, values per task and expert.
        executed_bm: `[B, M]` int32, the executed experts, padded with E.

    Returns:
        `[B, T, M]`. Empty slots get the last expert's value: mask them where that matters.
    """
    return _take(values_bte, _places(executed_bm[:, None, :], *values_bte.shape[1:]))


def slot_gates(logits_bte: Tensor, shared_bk: Tensor, private_btk: Tensor, executed_bm: Tensor) -> Tensor:
    """Returns the gates g of executed experts, `[B, T, M]`, zero where a task did not pick the expert.

    `g[b,t,:] = softmax of z[b,t,:] over K_t(b)` is computed for a task's few picks instead of all slots. The
    custom gradient is `dz[b,t,e] = g * (dg - sum over K_t(b) of g * dg)`, with one segment sum.

    Args:
        logits_bte: `[B, T, E]` float32, the logits z.
        shared_bk: `[B, K_s]` int32, the shared experts.
        private_btk: `[B, T, K_a]` int32, each task's private experts, padded with E.
        executed_bm: `[B, M]` int32, the executed experts, padded with E.
    """
    num_tasks, num_experts = logits_bte.shape[1:]
    # Picks first, `[K, B, T]`: sums over the first axis are vectorised, sums over a last axis of 3 are not.
    private_kbt = ops.transpose(private_btk, (2, 0, 1))
    shared_place_kbt = _places(ops.transpose(shared_bk)[:, :, None], num_tasks, num_experts, axis=1)
    private_place_kbt = _places(private_kbt, num_tasks, num_experts, axis=1)
    in_slot_k = [
        ops.cast(ops.equal(executed_bm[:, None], picks[..., k : k + 1]), "float32")
        for picks in (shared_bk[:, None], private_btk)
        for k in range(picks.shape[-1])
    ]

    @ops.custom_gradient
    def forward(logits_bte: Tensor) -> Any:
        own_kbt = _take(logits_bte, private_place_kbt)
        own_kbt = ops.where(ops.less(private_kbt, num_experts), own_kbt, -float("inf"))
        logits_kbt = ops.concatenate([_take(logits_bte, shared_place_kbt), own_kbt], axis=0)
        # Keras' `max` rejects an empty batch.
        highest_bt = functools.reduce(ops.maximum, ops.unstack(logits_kbt))
        shares_kbt = ops.exp(logits_kbt - highest_bt)
        gates_kbt = shares_kbt / ops.sum(shares_kbt, axis=0)

        def gradient(cotangent_btm: Tensor) -> Tensor:
            cotangent_kbt = ops.stack([ops.sum(cotangent_btm * place, axis=-1) for place in in_slot_k])
            weighed_kbt = gates_kbt * cotangent_kbt
            gradient_kbt = weighed_kbt - gates_kbt * ops.sum(weighed_kbt, axis=0)
            place_kbt = ops.concatenate([shared_place_kbt, private_place_kbt], axis=0)
            return _put(gradient_kbt, place_kbt, ops.shape(logits_bte))

        return sum(place * gates_kbt[k][:, :, None] for k, place in enumerate(in_slot_k)), gradient

    return forward(logits_bte)


def _places(experts: Tensor, num_tasks: int, num_experts: int, axis: int = 0) -> Tensor:
    """Flat index of `[b, t, expert]` in `[B, T, E]`; `experts` have B at `axis`, then T or 1."""
    # Several times faster than `take_along_axis`, whose gradient is slower still.
    wide = place_dtype()
    first_b1 = ops.arange(ops.shape(experts)[axis], dtype=wide)[:, None] * (num_tasks * num_experts)
    first_bt = first_b1 + ops.arange(num_tasks, dtype=wide) * num_experts
    if axis == 0:
        first_bt = first_bt[:, :, None]
    return first_bt + ops.cast(ops.minimum(experts, num_experts - 1), wide)


def _take(values_bte: Tensor, places: Tensor) -> Tensor:
    return take_values(ops.reshape(values_bte, (-1,)), places)


def _put(values: Tensor, places: Tensor, shape: tuple[Any, ...]) -> Tensor:
    """Scatters values by addition to their places in zeros of `shape [B, T, E]`."""
    size = shape[0] * shape[1] * shape[2]
    flat = ops.segment_sum(ops.reshape(values, (-1,)), ops.reshape(places, (-1,)), num_segments=size)
    return ops.reshape(flat, shape)
