"""Plans of blocks: each expert's pairs padded to whole blocks of rows, so that all shapes are static.

As XLA needs it: the buffer of blocks holds the most that the bound on `|U|` allows, and no pair is dropped.
"""

from typing import Any, NamedTuple

from keras import ops

from keras_smes.types import Tensor

Size = Any  # an int, or under TensorFlow with an unknown batch a scalar that XLA folds when it compiles

ROWS_STEP, ROWS_MOST = 8, 256


class BlockPlan(NamedTuple):
    """Which rows make which block: `N` blocks of `R` rows. An instance's m-th expert is slot `b * M + m`.

    Attributes:
        expert_a: `[E]` int32, the experts, chosen ones first.
        chosen: int32 scalar, how many experts are chosen.
        first_e: `[E]` int32, the first block of an expert.
        end_e: `[E]` int32, the block after its last one.
        slot_nr: `[N, R]` int32, the slot of a block's row; -1 where the block is padded.
        row_bm: `[B, M]` int32, where a slot's row lies among the `N * R`; -1 where the slot is empty.
    """

    expert_a: Tensor
    chosen: Tensor
    first_e: Tensor
    end_e: Tensor
    slot_nr: Tensor
    row_bm: Tensor


def plan_blocks(union_be: Tensor, executed_bm: Tensor, most_rows: int = ROWS_MOST) -> BlockPlan:
    """Lays the pairs of a batch out in blocks of one expert each.

    Args:
        union_be: `[B, E]` bool, the executed experts.
        executed_bm: `[B, M]` int32, the same experts listed ascending, padded with E.
        most_rows: The most rows R of a block. Defaults to `256`.

    Returns:
        The `BlockPlan`.
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
    # Empty slots go to a row behind the last; slots count from 1, so that an unwritten one is -1.
    row_s = ops.where(row_s < 0, most * rows, row_s)
    slot_p = ops.scatter(
        row_s[:, None], ops.arange(1, ops.shape(row_s)[0] + 1, dtype="int32"), (most * rows + 1,)
    )
    return ops.reshape(slot_p[:-1] - 1, (most, rows))


def _rows_of_block(slots: Size, num_experts: int, most_rows: int) -> Size:
    """Rows R of a block: half of an average expert's, so that padding is a quarter, in whole steps."""
    steps = (slots + 2 * num_experts * ROWS_STEP - 1) // (2 * num_experts * ROWS_STEP)
    return _min(_max(steps * ROWS_STEP, ROWS_STEP), most_rows)


def _min(size: Size, other: int) -> Size:
    return min(size, other) if isinstance(size, int) else ops.minimum(size, other)


def _max(size: Size, other: int) -> Size:
    return max(size, other) if isinstance(size, int) else ops.maximum(size, other)
