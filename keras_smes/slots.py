"""Slots: an instance's m-th executed expert. What is known of all E experts, taken for those M alone."""

import functools
from typing import Any

import keras
from keras import ops

Tensor = Any


def take_slots(values_bte: Tensor, executed_bm: Tensor) -> Tensor:
    """Takes `values[b,t,e]` of each instance's executed experts, `[B, T, M]`.

    Args:
        values_bte: `[B, T, E]`, something of each task and expert.
        executed_bm: `[B, M]` int32, the executed experts, padded with E.

    Returns:
        `[B, T, M]`. Empty slots get the last expert's value: mask them where that matters.
    """
    return _take(values_bte, _places(executed_bm[:, None, :], *values_bte.shape[1:]))


def slot_gates(logits_bte: Tensor, shared_bk: Tensor, private_btk: Tensor, executed_bm: Tensor) -> Tensor:
    """The gates g of an instance's executed experts, `[B, T, M]`, zero where a task did not pick the expert.

    `g[b,t,:] = softmax of z[b,t,:] over K_t(b)` is computed for a task's few picks, not for all slots. Its
    gradient is written by hand: `dz[b,t,e] = g * (dg - sum over K_t(b) of g * dg)`, one sum over segments.

    Args:
        logits_bte: `[B, T, E]` float32, the logits z.
        shared_bk: `[B, K_s]` int32, the experts that all tasks share.
        private_btk: `[B, T, K_a]` int32, those that each task adds, padded with E.
        executed_bm: `[B, M]` int32, the executed experts, padded with E.
    """
    num_tasks, num_experts = logits_bte.shape[1:]
    # Picks first, `[K, B, T]`: sums over the first axis are vectorised, those over a last one of 3 are not.
    private_kbt = ops.transpose(private_btk, (2, 0, 1))
    shared_place_kbt = _places(ops.transpose(shared_bk)[:, :, None], num_tasks, num_experts, axis=1)
    private_place_kbt = _places(private_kbt, num_tasks, num_experts, axis=1)
    in_slot_k = [
        ops.cast(ops.equal(executed_bm[:, None], picks[..., k : k + 1]), "float32")
        for picks in (shared_bk[:, None], private_btk)
        for k in range(picks.shape[-1])
    ]

    @ops.custom_gradient
    def gates(logits_bte: Tensor) -> Any:
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

    return gates(logits_bte)


def _places(experts: Tensor, num_tasks: int, num_experts: int, axis: int = 0) -> Tensor:
    """Where `[b, t, expert]` of `[B, T, E]` lies when flat; `experts` have B at `axis`, then T or 1."""
    # Flat indices: several times faster than `take_along_axis`, whose gradient is slower still.
    wide = "int64" if keras.backend.backend() == "tensorflow" else "int32"
    first_b1 = ops.arange(ops.shape(experts)[axis], dtype=wide)[:, None] * (num_tasks * num_experts)
    first_bt = first_b1 + ops.arange(num_tasks, dtype=wide) * num_experts
    if axis == 0:
        first_bt = first_bt[:, :, None]
    return first_bt + ops.cast(ops.minimum(experts, num_experts - 1), wide)


def _take(values_bte: Tensor, places: Tensor) -> Tensor:
    flat = ops.reshape(values_bte, (-1,))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(flat, places)  # Keras' `take` would first look for negative indices
    # From an empty batch, JAX takes the shape `[0]`.
    return ops.reshape(ops.take(flat, places, axis=0), ops.shape(places))


def _put(values: Tensor, places: Tensor, shape: tuple[Any, ...]) -> Tensor:
    """Adds values up at their places in zeros of `shape [B, T, E]`."""
    size = shape[0] * shape[1] * shape[2]
    flat = ops.segment_sum(ops.reshape(values, (-1,)), ops.reshape(places, (-1,)), num_segments=size)
    return ops.reshape(flat, shape)
