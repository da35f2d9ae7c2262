"""Rows of pairs with static shapes: from instances to packed rows, and back to slots.

An instance's m-th executed expert is slot `b * M + m`. As each packed row has one slot, or is padding, the
two directions are each other's gradient: there is no scatter-add, and the order of summation doesn't depend
on threads.
"""

from typing import Any

from keras import ops

from keras_smes.types import Tensor


def to_rows(inputs_bd: Tensor, slot_of_row: Tensor, row_bm: Tensor) -> Tensor:
    """Takes the instance of each packed row.

    Args:
        inputs_bd: `[B, D]` floats.
        slot_of_row: int32 of any shape, the slot of each row; -1 where the row is padding.
        row_bm: `[B, M]` int32, the row of each slot, counted flat; -1 where the slot is empty.

    Returns:
        `[*slot_of_row.shape, D]`, zero where padded.
    """

    @ops.custom_gradient
    def take(inputs_bd: Tensor) -> Any:
        instance_of_row = ops.where(slot_of_row < 0, -1, slot_of_row // row_bm.shape[1])
        return take_rows(inputs_bd, instance_of_row), lambda rows: ops.sum(
            take_rows(_flat(rows), row_bm), axis=1
        )

    return take(inputs_bd)


def to_slots(rows: Tensor, slot_of_row: Tensor, row_bm: Tensor) -> Tensor:
    """Returns packed rows `[*slot_of_row.shape, out]` to their slots: `[B, M, out]`, zero in empty ones."""

    @ops.custom_gradient
    def give_back(rows: Tensor) -> Any:
        return take_rows(_flat(rows), row_bm), lambda slots_bmo: take_rows(_flat(slots_bmo), slot_of_row)

    return give_back(rows)


def _flat(rows: Tensor) -> Tensor:
    return ops.reshape(rows, (-1, rows.shape[-1]))


def take_rows(rows_xd: Tensor, index: Tensor) -> Tensor:
    """Takes rows, zero where the index is negative, so that padding doesn't copy a NaN."""
    if rows_xd.shape[0] == 0:  # JAX rejects taking from an empty batch
        return ops.zeros((*ops.shape(index), rows_xd.shape[-1]), dtype=rows_xd.dtype)
    if rows_xd.shape[0] is None:  # the batch may turn out empty
        rows_xd = ops.pad(rows_xd, ((0, 1), (0, 0)))
    taken = ops.take(rows_xd, ops.maximum(index, 0), axis=0)
    return ops.where(index[..., None] < 0, ops.zeros((), taken.dtype), taken)
