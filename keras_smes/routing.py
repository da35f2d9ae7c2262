"""Routing: which experts an instance executes, and with what weight each task mixes them.

Pure functions on float32 tensors, the section "Routing" of the specification line by line. Axes are
written into the names: `b` instances, `t` tasks, `e` experts, `k` picks, `m` slots of the union.

Source: SMES, "Towards Scalable Multi-Task Recommendation via Expert Sparsity" (arXiv 2602.09386).
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from keras import ops

Tensor = Any

FEW_PICKS = 4  # up to here, picking one expert after the other is faster than sorting them out at once


def union_bound(num_experts: int, num_shared: int, num_private: Sequence[int]) -> int:
    """Most experts that one instance can execute: `min(E, K_s + sum_t K_a[t])`."""
    return min(num_experts, num_shared + sum(num_private))


def joint_score(probabilities_bte: Tensor, task_weights_t: Tensor) -> Tensor:
    """Score of each expert for all tasks together: `s[b,e] = sum_t w[t] * p[b,t,e]`."""
    return ops.matmul(task_weights_t[None, None, :], probabilities_bte)[:, 0]


def top_k_mask(scores: Tensor, k: int) -> Tensor:
    """Boolean mask of the `k` highest scores on the last axis; ties go to the lower index."""
    if k in (0, scores.shape[-1]):
        return ops.full_like(scores, k > 0, dtype="bool")
    experts_e = ops.arange(scores.shape[-1], dtype="int32")
    picks = _pick_one_by_one if k <= FEW_PICKS else _pick_at_once
    # One comparison a pick instead of a one-hot of all picks: no tensor of k * E a row.
    return functools.reduce(ops.logical_or, (ops.equal(pick, experts_e) for pick in picks(scores, k)))


def _pick_one_by_one(scores: Tensor, k: int) -> Iterator[Tensor]:
    # The top of a row is one pass over it; TensorFlow's top_k of two is seven times as slow on a CPU.
    top = ops.cast(ops.top_k(scores, 1)[1], "int32")
    yield top
    if k > 1:
        left = ops.where(ops.equal(top, ops.arange(scores.shape[-1], dtype="int32")), -float("inf"), scores)
        yield from _pick_one_by_one(left, k - 1)


def _pick_at_once(scores: Tensor, k: int) -> Iterator[Tensor]:
    picks_k = ops.cast(ops.top_k(scores, k)[1], "int32")
    for pick in range(k):
        yield picks_k[..., pick : pick + 1]


def shared_subset(score_be: Tensor, num_shared: int) -> Tensor:
    """Experts that all tasks of an instance share: `S(b) = TopK_e(s[b,:], K_s)`, as a mask `[B, E]`."""
    return top_k_mask(score_be, num_shared)


def private_experts(logits_bte: Tensor, shared_be: Tensor, num_private: Sequence[int]) -> Tensor:
    """Experts that each task adds for itself: `A_t(b) = TopK_e(z[b,t,:] over e not in S(b), K_a[t])`.

    Returns a mask `[B, T, E]`, disjoint from `shared_be`.
    """
    open_bte = ops.where(shared_be[:, None, :], -float("inf"), logits_bte)
    if len(set(num_private)) == 1:
        private_bte = top_k_mask(open_bte, num_private[0])
    else:
        private_bte = ops.stack([top_k_mask(open_bte[:, t], k) for t, k in enumerate(num_private)], axis=1)
    # Experts closed by -inf tie with logits of -inf: disjoint even then.
    return ops.logical_and(private_bte, ops.logical_not(shared_be)[:, None, :])


def gates(logits_bte: Tensor, chosen_bte: Tensor) -> Tensor:
    """Weights of a task's experts: `g[b,t,:] = softmax of z[b,t,:] over K_t(b)`, zero elsewhere."""
    return ops.softmax(ops.where(chosen_bte, logits_bte, -float("inf")), axis=-1)


def executed_experts(union_be: Tensor, bound: int) -> Tensor:
    """Lists each instance's executed experts: int32 `[B, M]`, ascending, padded with `E`.

    The static size `M` is the bound on `|U(b)|`; it tells the execution, in the one place where
    shapes are known, how much an instance can need.
    """
    member_bm, expert_bm = ops.top_k(ops.cast(union_be, "int32"), bound)
    return ops.where(member_bm > 0, ops.cast(expert_bm, "int32"), union_be.shape[-1])
