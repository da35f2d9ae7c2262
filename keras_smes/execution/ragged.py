"""Ragged execution for JAX: pairs sorted by expert, and one `jax.lax.ragged_dot` per layer for all experts.

Shapes are static, without padding: one row per slot, with empty slots after all groups. Where XLA has no
grouped kernel, it multiplies all rows with all experts.
"""

from typing import NamedTuple

from keras import ops

from keras_smes.execution.experts import Choice, Experts
from keras_smes.execution.rows import to_rows, to_slots
from keras_smes.types import Tensor


class Groups(NamedTuple):
    """Slots sorted by expert, one row each. An instance's m-th expert is slot `b * M + m`.

    Attributes:
        rows_e: `[E]` int32, number of rows per expert.
        expert_p: `[B * M]` int32, the expert of each row; the last one for rows of empty slots.
        slot_p: `[B * M]` int32, the slot of each row; -1 for empty slots, which come last.
        row_bm: `[B, M]` int32, the row of each slot; -1 for empty slots.
    """

    rows_e: Tensor
    expert_p: Tensor
    slot_p: Tensor
    row_bm: Tensor


def run(inputs_bd: Tensor, choice: Choice, experts: Experts) -> Tensor:
    """Returns `y[b,t,:] = sum over executed e of weights[b,t,e] * f_e(inputs[b])`, float32 `[B, T, out]`."""
    from jax.lax import ragged_dot

    groups = group_slots(choice.executed_bm, experts.num_experts)
    rows_po = to_rows(inputs_bd, groups.slot_p, groups.row_bm)
    for kernel_eio, bias_eo, activation in experts.layers:
        products_po = ragged_dot(rows_po, kernel_eio, groups.rows_e)
        rows_po = activation(products_po + ops.take(bias_eo, groups.expert_p, axis=0))
    outputs_bmo = ops.cast(experts.finish(to_slots(rows_po, groups.slot_p, groups.row_bm)), "float32")
    return ops.matmul(choice.slot_weights_btm, outputs_bmo)


def group_slots(executed_bm: Tensor, num_experts: int) -> Groups:
    """Sorts the slots of a batch by expert."""
    expert_s = ops.reshape(executed_bm, (-1,))
    slot_p = ops.cast(ops.argsort(expert_s), "int32")
    expert_p = ops.take(expert_s, slot_p, axis=0)
    row_s = ops.cast(ops.argsort(slot_p), "int32")
    rows_e = ops.sum(ops.cast(ops.equal(expert_s[:, None], ops.arange(num_experts)), "int32"), axis=0)
    return Groups(
        rows_e=rows_e,
        expert_p=ops.minimum(expert_p, num_experts - 1),
        slot_p=ops.where(expert_p < num_experts, slot_p, -1),
        row_bm=ops.where(executed_bm < num_experts, ops.reshape(row_s, ops.shape(executed_bm)), -1),
    )
