"""Plans of blocks: each expert's pairs padded to whole blocks of rows, so that all shapes are static.

XLA needs static shapes: the buffer holds the maximum number of blocks under the bound on `|U|`, and no pair
is dropped.
"""

from typing import NamedTuple, TypeAlias

from keras import ops

from keras_smes.types import Tensor

Size: TypeAlias = int | Tensor  # with an unknown batch a TensorFlow scalar that XLA folds at compilation

ROWS_STEP, ROWS_MOST = 8, 256


class BlockPlan(NamedTuple):
    """Assigns rows to `N` blocks of `R` rows. An instance's m-th expert is slot `b * M + m`.

    Attributes:
        expert_a: `[E]` int32, the experts, chosen ones first.
        chosen: int32 scalar, number of chosen experts.
        first_e: `[E]` int32, the first block of each expert.
        end_e: `[E]` int32, the block after its last one.
        slot_nr: `[N, R]` int32, the slot of each row of a block; -1 for padding.
        row_bm: `[B, M]` int32, the row of each slot among the `N * R`; -1 for empty slots.
    """

    expert_a: Tensor
    chosen: Tensor
    first_e: Tensor
    end_e: Tensor
    slot_nr: Tensor
    row_bm: Tensor


def plan_blocks(union_be: Tensor, executed_bm: Tensor, most_rows: int = ROWS_MOST) -> BlockPlan:
    """Assigns the pairs of a batch to blocks of one expert each.

    Args:
        union_be: `[B, E]` bool, the executed experts.
        executed_bm: `[B, M]` int32, the same experts listed ascending, padded with E.
        most_rows: Maximum number of rows R per block. Defaults to `256`.
    """
    num_experts, slots = union_be.shape[1], ops.shape(executed_bm)[0] * executed_bm.shape[1]
    rows = _rows_of_block(slots, num_experts, most_rows)
    most = _max(slots // rows + _min(slots, num_experts), 1)
    member_be = ops.cast(union_be, "int32")
    rank_be = ops.cumsum(member_be, axis=0) - member_be
    blocks_e = (ops.sum(member_be, axis=0) + rows - 1) // rows
    end_e = ops.cumsum(blocks_e)
    first_e = end_e - blocks_e
    used_bm = executed_bm < num_experts
    row_bm = ops.take_along_axis(first_e * rows + rank_be, ops.where(used_bm, executed_bm, 0), axis=1)
    row_bm = ops.where(used_bm, row_bm, -1)
    chosen_e = blocks_e > 0
    return BlockPlan(
        expert_a=ops.cast(ops.argsort(ops.logical_not(chosen_e)), "int32"),
        chosen=ops.sum(ops.cast(chosen_e, "int32")),
        first_e=first_e,
        end_e=end_e,
        slot_nr=_slots_of_rows(row_bm, most, rows),
        row_bm=row_bm,
    )


def _slots_of_rows(row_bm: Tensor, most: Size, rows: Size) -> Tensor:
    """Inverts `row_bm`: the slot of each row, -1 in padding."""
    row_s = ops.reshape(row_bm, (-1,))
    # Empty slots write to a row behind the last; slots count from 1, so that unwritten rows become -1.
    row_s = ops.where(row_s < 0, most * rows, row_s)
    slot_p = ops.scatter(
        row_s[:, None], ops.arange(1, ops.shape(row_s)[0] + 1, dtype="int32"), (most * rows + 1,)
    )
    return ops.reshape(slot_p[:-1] - 1, (most, rows))


def _rows_of_block(slots: Size, num_experts: int, most_rows: int) -> Size:
    """Rows R per block: half of an average expert's rows, in whole steps, for 25 % padding."""
    steps = (slots + 2 * num_experts * ROWS_STEP - 1) // (2 * num_experts * ROWS_STEP)
    return _min(_max(steps * ROWS_STEP, ROWS_STEP), most_rows)


def _min(size: Size, other: int) -> Size:
    return min(size, other) if isinstance(size, int) else ops.minimum(size, other)


def _max(size: Size, other: int) -> Size:
    return max(size, other) if isinstance(size, int) else ops.maximum(size, other)
