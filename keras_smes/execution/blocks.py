"""Blocked execution for XLA: static shapes, a loop over the blocks of rows that are really filled.

XLA must know every size before it runs, so each expert's rows are padded to whole blocks of `R` rows,
and the buffer holds the most blocks that the bound on `|U|` allows. The loop ends after the blocks that
this batch fills: work follows the real number of pairs, and no pair is ever dropped. A block's weights
are sliced from the stack, not gathered into a copy. The gradient is hand-written as a second such loop,
because XLA has none for a loop with a dynamic end; it recomputes a block's hidden rows instead of
keeping them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

from keras_smes.execution.experts import Choice, Experts
from keras_smes.execution.pull_back import pull_back

Tensor = Any
Size = Any  # an int, or under TensorFlow with an unknown batch a scalar that XLA folds when it compiles

ROWS_STEP, ROWS_MOST = 8, 128


class BlockPlan(NamedTuple):
    """Which rows make which block: `N` blocks of `R` rows. An instance's m-th expert is slot `b * M + m`.

    Attributes:
        expert_n: `[N]` int32, the expert of a block.
        slot_nr: `[N, R]` int32, the slot of a block's row; -1 where the block is padded.
        row_bm: `[B, M]` int32, where a slot's row lies among the `N * R`; -1 where the slot is empty.
        filled: int32 scalar, how many blocks hold rows; they come first.
    """

    expert_n: Tensor
    slot_nr: Tensor
    row_bm: Tensor
    filled: Tensor


def run(inputs_bd: Tensor, choice: Choice, experts: Experts) -> Tensor:
    """Returns `y[b,t,:] = sum over executed e of weights[b,t,e] * f_e(inputs[b])`, float32 `[B, T, out]`."""
    plan = plan_blocks(choice.union_be, choice.executed_bm)
    outputs_bmo = ops.cast(run_blocks(inputs_bd, plan, experts), "float32")
    used_bm = plan.row_bm >= 0
    expert_bm = ops.where(used_bm, choice.executed_bm, 0)
    weights_btm = ops.take_along_axis(choice.weights_bte, expert_bm[:, None, :], axis=2)
    return ops.matmul(ops.where(used_bm[:, None, :], weights_btm, 0.0), outputs_bmo)


def plan_blocks(union_be: Tensor, executed_bm: Tensor) -> BlockPlan:
    """Lays the pairs of a batch out in blocks of one expert each.

    Args:
        union_be: `[B, E]` bool, the executed experts.
        executed_bm: `[B, M]` int32, the same experts listed ascending, padded with E.

    Returns:
        The `BlockPlan`.
    """
    num_experts, slots = union_be.shape[1], ops.shape(executed_bm)[0] * executed_bm.shape[1]
    rows = _rows_of_block(slots, num_experts)
    most = slots // rows + _min(slots, num_experts)
    member_be = ops.cast(union_be, "int32")
    rank_be = ops.cumsum(member_be, axis=0) - member_be
    blocks_e = (ops.sum(member_be, axis=0) + rows - 1) // rows
    end_e = ops.cumsum(blocks_e)
    first_row_e = (end_e - blocks_e) * rows
    used_bm = executed_bm < num_experts
    row_bm = ops.take_along_axis(first_row_e + rank_be, ops.where(used_bm, executed_bm, 0), axis=1)
    row_bm = ops.where(used_bm, row_bm, -1)
    # Blocks behind the filled ones count as the last expert's; they never run.
    expert_n = ops.sum(ops.cast(ops.arange(most)[:, None] >= end_e[:-1], "int32"), axis=1)
    return BlockPlan(expert_n, _slots_of_rows(row_bm, most, rows), row_bm, end_e[-1])


def run_blocks(inputs_bd: Tensor, plan: BlockPlan, experts: Experts) -> Tensor:
    """Runs the filled blocks; returns the expert outputs by slot, `[B, M, out]`, zero in empty slots."""
    activations = [layer.activation for layer in experts.layers]

    def run_expert(rows_rd: Tensor, *weights: Tensor) -> Tensor:
        for kernel_io, bias_o, activation in zip(weights[::2], weights[1::2], activations, strict=True):
            rows_rd = activation(ops.matmul(rows_rd, kernel_io) + bias_o)
        return experts.finish(rows_rd)

    @ops.custom_gradient
    def execute(inputs_bd: Tensor, *stacks: Tensor) -> Any:
        def gradient(slots_bmo: Tensor) -> tuple[Tensor, ...]:
            return _backward(run_expert, inputs_bd, stacks, plan, slots_bmo)

        return _forward(run_expert, inputs_bd, stacks, plan), gradient

    return execute(inputs_bd, *(weight for layer in experts.layers for weight in layer[:2]))


def _forward(
    run_expert: Callable[..., Tensor], inputs_bd: Tensor, stacks: tuple[Tensor, ...], plan: BlockPlan
) -> Tensor:
    count, rows = ops.shape(plan.slot_nr)
    width = stacks[-1].shape[-1]

    def body(n: Tensor, outputs_po: Tensor) -> tuple[Tensor, Tensor]:
        weights = [_member(stack, plan.expert_n[n]) for stack in stacks]
        rows_ro = run_expert(_rows_of_instances(inputs_bd, plan, n), *weights)
        return n + 1, ops.slice_update(outputs_po, (n * rows, 0), ops.cast(rows_ro, outputs_po.dtype))

    outputs_po = ops.zeros((count * rows, width), dtype=inputs_bd.dtype)
    _, outputs_po = ops.while_loop(lambda n, _: n < plan.filled, body, (_zero(), outputs_po))
    return _rows_of_slots(outputs_po, plan)


def _backward(
    run_expert: Callable[..., Tensor],
    inputs_bd: Tensor,
    stacks: tuple[Tensor, ...],
    plan: BlockPlan,
    slots_bmo: Tensor,
) -> tuple[Tensor, ...]:
    count, rows = ops.shape(plan.slot_nr)
    slots_so = ops.reshape(slots_bmo, (-1, slots_bmo.shape[-1]))

    def body(n: Tensor, inputs_pd: Tensor, *sums: Tensor) -> tuple[Tensor, ...]:
        weights = [_member(stack, plan.expert_n[n]) for stack in stacks]
        rows_rd = _rows_of_instances(inputs_bd, plan, n)
        rows_ro = _take_rows(slots_so, plan.slot_nr[n])
        rows_rd, *parts = pull_back(run_expert, [rows_rd, *weights], rows_ro)
        inputs_pd = ops.slice_update(inputs_pd, (n * rows, 0), rows_rd)
        return n + 1, inputs_pd, *(_add_to(s, plan.expert_n[n], p) for s, p in zip(sums, parts, strict=True))

    inputs_pd = ops.zeros((count * rows, inputs_bd.shape[-1]), dtype=inputs_bd.dtype)
    sums = [ops.zeros_like(stack, dtype="float32") for stack in stacks]
    _, inputs_pd, *sums = ops.while_loop(lambda n, *_: n < plan.filled, body, (_zero(), inputs_pd, *sums))
    gradient_bd = ops.sum(_rows_of_slots(inputs_pd, plan), axis=1)
    return gradient_bd, *(ops.cast(s, stack.dtype) for s, stack in zip(sums, stacks, strict=True))


def _rows_of_instances(inputs_bd: Tensor, plan: BlockPlan, n: Tensor) -> Tensor:
    slot_r = plan.slot_nr[n]
    return _take_rows(inputs_bd, ops.where(slot_r < 0, -1, slot_r // plan.row_bm.shape[1]))


def _rows_of_slots(rows_po: Tensor, plan: BlockPlan) -> Tensor:
    return _take_rows(rows_po, plan.row_bm)


def _take_rows(rows_xd: Tensor, index: Tensor) -> Tensor:
    """Takes rows, zero where the index is negative: a padded row must not carry another's NaN."""
    taken = ops.take(rows_xd, ops.maximum(index, 0), axis=0)
    return ops.where(index[..., None] < 0, ops.zeros((), taken.dtype), taken)


def _member(stack: Tensor, expert: Tensor) -> Tensor:
    shape = tuple(stack.shape[1:])
    return ops.reshape(ops.slice(stack, (expert, *(0 for _ in shape)), (1, *shape)), shape)


def _add_to(stack: Tensor, expert: Tensor, part: Tensor) -> Tensor:
    part = _member(stack, expert) + ops.cast(part, stack.dtype)
    return ops.slice_update(stack, (expert, *(0 for _ in part.shape)), part[None])


def _slots_of_rows(row_bm: Tensor, most: Size, rows: Size) -> Tensor:
    """Inverts `row_bm`: the slot of each row, -1 in padding."""
    row_s = ops.reshape(row_bm, (-1,))
    # Empty slots go to a row behind the last; slots count from 1, so that what nobody wrote is -1.
    row_s = ops.where(row_s < 0, most * rows, row_s)
    slot_p = ops.scatter(row_s[:, None], ops.arange(1, ops.shape(row_s)[0] + 1), (most * rows + 1,))
    return ops.reshape(slot_p[:-1] - 1, (most, rows))


def _rows_of_block(slots: Size, num_experts: int) -> Size:
    """Rows R of a block: those of an average expert, in whole steps, within limits."""
    rows = (slots + num_experts * ROWS_STEP - 1) // (num_experts * ROWS_STEP) * ROWS_STEP
    return _min(_max(rows, ROWS_STEP), ROWS_MOST)


def _min(size: Size, other: int) -> Size:
    return min(size, other) if isinstance(size, int) else ops.minimum(size, other)


def _max(size: Size, other: int) -> Size:
    return max(size, other) if isinstance(size, int) else ops.maximum(size, other)


def _zero() -> Tensor:
    return ops.zeros((), dtype="int32")
