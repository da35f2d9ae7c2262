"""Routing: which experts an instance executes, and with what weight each task mixes them.

Pure functions on float32 tensors, the section "Routing" of the specification line by line. Axes are
written into the names: `b` instances, `t` tasks, `e` experts, `k` picks, `m` slots of the union. Choices are
lists of experts, because a pass over all E for each of them is what routing costs; masks are made of them
for whoever wants masks, and nobody pays for those that nobody reads.

Source: SMES, "Towards Scalable Multi-Task Recommendation via Expert Sparsity" (arXiv 2602.09386).
"""

import functools
from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_smes.backend.top_k import top_k

Tensor = Any


def union_bound(num_experts: int, num_shared: int, num_private: Sequence[int]) -> int:
    """Most experts that one instance can execute: `min(E, K_s + sum_t K_a[t])`."""
    return min(num_experts, num_shared + sum(num_private))


def joint_score(probabilities_bte: Tensor, task_weights_t: Tensor) -> Tensor:
    """Score of each expert for all tasks together: `s[b,e] = sum_t w[t] * p[b,t,e]`."""
    return ops.matmul(task_weights_t[None, None, :], probabilities_bte)[:, 0]


def among(experts: Tensor, picks: Tensor) -> Tensor:
    """Whether each of `experts [..., n]` is one of `picks [..., k]`: bool `[..., n]`."""
    if picks.shape[-1] == 0:
        spread = experts + ops.sum(picks, axis=-1, keepdims=True)  # nothing sums to 0, in the shape of all
        return ops.not_equal(spread, spread)
    matches = (ops.equal(experts, picks[..., k : k + 1]) for k in range(picks.shape[-1]))
    return functools.reduce(ops.logical_or, matches)


def mask(picks: Tensor, num_experts: int) -> Tensor:
    """The experts listed in `picks [..., k]`, as a mask `[..., E]`."""
    return among(ops.arange(num_experts, dtype="int32"), picks)


def shared_subset(score_be: Tensor, num_shared: int) -> Tensor:
    """Experts that all tasks share: `S(b) = TopK_e(s[b,:], K_s)`, int32 `[B, K_s]`, ascending."""
    return ops.sort(top_k(score_be, num_shared), axis=-1)


def private_experts(logits_bte: Tensor, shared_bk: Tensor, num_private: Sequence[int]) -> Tensor:
    """Experts that each task adds for itself: `A_t(b) = TopK_e(z[b,t,:] over e not in S(b), K_a[t])`.

    Returns int32 `[B, T, max K_a]`, best first, padded with E; none of them is shared.
    """
    num_experts = logits_bte.shape[-1]
    closed_be = ops.cast(ops.where(mask(shared_bk, num_experts), -float("inf"), 0.0), logits_bte.dtype)
    open_bte = logits_bte + closed_be[:, None, :]  # a sum is twice as fast as a choice between two
    if len(set(num_private)) == 1:
        private_btk = top_k(open_bte, num_private[0])
    else:
        tasks = [top_k(open_bte[:, t], k) for t, k in enumerate(num_private)]
        private_btk = ops.stack([_pad(task_bk, max(num_private), num_experts) for task_bk in tasks], axis=1)
    # Where all open logits are -inf, a shared expert would be as good a pick as any.
    return ops.where(among(private_btk, shared_bk[:, None, :]), num_experts, private_btk)


def _pad(picks_bk: Tensor, width: int, num_experts: int) -> Tensor:
    return ops.pad(picks_bk, ((0, 0), (0, width - picks_bk.shape[1])), constant_values=num_experts)


def executed_experts(shared_bk: Tensor, private_btk: Tensor, num_experts: int, bound: int) -> Tensor:
    """Lists each instance's executed experts, `U(b)`: int32 `[B, M]`, ascending, each once, padded with E.

    The static size `M` is the bound on `|U(b)|`; it tells the execution, in the one place where
    shapes are known, how much an instance can need.
    """
    tasks = [private_btk[:, t] for t in range(private_btk.shape[1])]
    sorted_bk = ops.sort(ops.concatenate([shared_bk, *tasks], axis=-1), axis=-1)
    repeated_bk = ops.equal(sorted_bk[:, 1:], sorted_bk[:, :-1])
    once_bk = ops.where(repeated_bk, num_experts, sorted_bk[:, 1:])
    return ops.sort(ops.concatenate([sorted_bk[:, :1], once_bk], axis=-1), axis=-1)[:, :bound]


def gates(logits: Tensor, chosen: Tensor) -> Tensor:
    """Weights of a task's experts: `g[b,t,:] = softmax of z[b,t,:] over K_t(b)`, zero elsewhere.

    Args:
        logits: `[B, T, E]`, or those of the slots, `[B, T, M]`.
        chosen: Bool of the same shape, whether the expert is in `K_t(b)`.
    """
    return ops.softmax(ops.where(chosen, logits, -float("inf")), axis=-1)
