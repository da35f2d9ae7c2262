"""Slots: an instance's m-th executed expert. What is known of all E experts, taken for those M alone."""

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
    num_tasks, num_experts = values_bte.shape[1:]
    # Flat indices: several times faster than `take_along_axis`, whose gradient is slower still.
    wide = "int64" if keras.backend.backend() == "tensorflow" else "int32"
    row_b = ops.arange(ops.shape(values_bte)[0], dtype=wide) * num_tasks
    row_bt = row_b[:, None] + ops.arange(num_tasks, dtype=wide)
    expert_bm = ops.cast(ops.minimum(executed_bm, num_experts - 1), wide)
    at_btm = row_bt[:, :, None] * num_experts + expert_bm[:, None, :]
    taken = ops.take(ops.reshape(values_bte, (-1,)), at_btm, axis=0)
    return ops.reshape(taken, ops.shape(at_btm))  # from an empty batch, JAX takes the shape `[0]`
