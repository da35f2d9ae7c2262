"""Blocked execution for XLA: static shapes, loops over the blocks of rows that are really filled.

XLA must know every size before it runs, so each expert's rows are padded to whole blocks of `R` rows,
and the buffer holds the most blocks that the bound on `|U|` allows. One loop goes over the experts that
this batch chose, and takes an expert's weights from the stack once; a loop in it goes over the expert's
blocks. So work follows the real number of pairs, and no pair is ever dropped. The gradient is
hand-written as two more such loops, because XLA has none for a loop with a dynamic end; it recomputes a
block's hidden rows instead of keeping them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras import ops

from keras_smes.backend.vjp import pull_back
from keras_smes.execution.experts import Choice, Experts

Tensor = Any
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


def run(inputs_bd: Tensor, choice: Choice, experts: Experts) -> Tensor:
    """Returns `y[b,t,:] = sum over executed e of weights[b,t,e] * f_e(inputs[b])`, float32 `[B, T, out]`."""
    plan = plan_blocks(choice.union_be, choice.executed_bm)
    outputs_bmo = ops.cast(run_blocks(inputs_bd, plan, experts), "float32")
    return ops.matmul(choice.slot_weights_btm, outputs_bmo)


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


def run_blocks(inputs_bd: Tensor, plan: BlockPlan, experts: Experts) -> Tensor:
    """Runs the filled blocks; returns the expert outputs by slot, `[B, M, out]`, zero in empty slots."""
    activations = [layer.activation for layer in experts.layers]

    def run_expert(rows_rd: Tensor, *weights: Tensor) -> Tensor:
        for kernel_io, bias_o, activation in zip(weights[::2], weights[1::2], activations, strict=True):
            rows_rd = activation(ops.matmul(rows_rd, kernel_io) + bias_o)
        return experts.finish(rows_rd)

    def backward(inputs_bd: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        *stacks, slots_bmo = others
        return _backward(run_expert, inputs_bd, stacks, plan, slots_bmo)

    def forward(inputs_bd: Tensor, *stacks: Tensor) -> Tensor:
        return _forward(run_expert, inputs_bd, stacks, plan)

    stacks = (weight for layer in experts.layers for weight in layer[:2])
    return _with_gradient(
        forward, lambda *given: _with_gradient(backward, _refuse, *given), inputs_bd, *stacks
    )


def _with_gradient(function: Callable[..., Any], gradient: Callable[..., Any], *arguments: Tensor) -> Any:
    """Returns `function(*arguments)`, whose gradient is `gradient(*arguments, cotangents)`.

    Within, arguments are constants: a persistent tape, and one around another, records there too, and XLA has
    no gradient for what it would record.
    """

    @ops.custom_gradient
    def call(*arguments: Tensor) -> Any:
        constants = [ops.stop_gradient(argument) for argument in arguments]
        return function(*constants), lambda *cotangents: gradient(*arguments, *cotangents)

    return call(*arguments)


def _refuse(*_: Tensor) -> Any:
    raise NotImplementedError(
        "`execution='blocks'` has first derivatives alone: use execution='dense' for gradients of gradients."
    )


def _forward(
    run_expert: Callable[..., Tensor], inputs_bd: Tensor, stacks: Sequence[Tensor], plan: BlockPlan
) -> Tensor:
    count, rows = ops.shape(plan.slot_nr)

    def body(expert: Tensor, outputs_po: Tensor) -> tuple[Tensor]:
        weights = [_at(stack, expert) for stack in stacks]

        def block(n: Tensor, outputs_po: Tensor) -> tuple[Tensor]:
            rows_ro = run_expert(_rows_of_instances(inputs_bd, plan, n), *weights)
            return (ops.slice_update(outputs_po, (n * rows, 0), ops.cast(rows_ro, outputs_po.dtype)),)

        return _loop(_at(plan.first_e, expert), _at(plan.end_e, expert), block, (outputs_po,))

    outputs_po = ops.zeros((count * rows, stacks[-1].shape[-1]), dtype=inputs_bd.dtype)
    (outputs_po,) = _loop_experts(plan, body, (outputs_po,))
    return _rows_of_slots(outputs_po, plan)


def _backward(
    run_expert: Callable[..., Tensor],
    inputs_bd: Tensor,
    stacks: Sequence[Tensor],
    plan: BlockPlan,
    slots_bmo: Tensor,
) -> tuple[Tensor, ...]:
    count, rows = ops.shape(plan.slot_nr)
    slots_so = ops.reshape(slots_bmo, (-1, slots_bmo.shape[-1]))

    def body(expert: Tensor, inputs_pd: Tensor, *gradients: Tensor) -> tuple[Tensor, ...]:
        weights = [_at(stack, expert) for stack in stacks]

        def block(n: Tensor, inputs_pd: Tensor, *sums: Tensor) -> tuple[Tensor, ...]:
            rows_ro = _take_rows(slots_so, _at(plan.slot_nr, n))
            at = [_rows_of_instances(inputs_bd, plan, n), *weights]
            rows_rd, *parts = pull_back(run_expert, at, rows_ro)
            sums = tuple(s + ops.cast(part, s.dtype) for s, part in zip(sums, parts, strict=True))
            return ops.slice_update(inputs_pd, (n * rows, 0), rows_rd), *sums

        sums = [ops.zeros(weight.shape, dtype="float32") for weight in weights]
        first, end = _at(plan.first_e, expert), _at(plan.end_e, expert)
        inputs_pd, *sums = _loop(first, end, block, (inputs_pd, *sums))
        return inputs_pd, *(_put(g, expert, s) for g, s in zip(gradients, sums, strict=True))

    inputs_pd = ops.zeros((count * rows, inputs_bd.shape[-1]), dtype=inputs_bd.dtype)
    gradients = [ops.zeros_like(stack) for stack in stacks]
    inputs_pd, *gradients = _loop_experts(plan, body, (inputs_pd, *gradients))
    return ops.sum(_rows_of_slots(inputs_pd, plan), axis=1), *gradients


def _loop_experts(plan: BlockPlan, body: Callable[..., Any], state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    def step(a: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        return body(_at(plan.expert_a, a), *state)

    return _loop(ops.zeros((), dtype="int32"), plan.chosen, step, state)


def _loop(
    first: Tensor, end: Tensor, body: Callable[..., Any], state: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    def step(i: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        return i + 1, *body(i, *state)

    return ops.while_loop(lambda i, *_: i < end, step, (first, *state))[1:]


def _rows_of_instances(inputs_bd: Tensor, plan: BlockPlan, n: Tensor) -> Tensor:
    slot_r = _at(plan.slot_nr, n)
    return _take_rows(inputs_bd, ops.where(slot_r < 0, -1, slot_r // plan.row_bm.shape[1]))


def _rows_of_slots(rows_po: Tensor, plan: BlockPlan) -> Tensor:
    return _take_rows(rows_po, plan.row_bm)


def _take_rows(rows_xd: Tensor, index: Tensor) -> Tensor:
    """Takes rows, zero where the index is negative: a padded row must not carry another's NaN."""
    if rows_xd.shape[0] == 0:  # an empty batch: JAX takes nothing from nothing
        return ops.zeros((*ops.shape(index), rows_xd.shape[-1]), dtype=rows_xd.dtype)
    taken = ops.take(rows_xd, ops.maximum(index, 0), axis=0)
    return ops.where(index[..., None] < 0, ops.zeros((), taken.dtype), taken)


def _at(stack: Tensor, index: Tensor) -> Tensor:
    # Not `stack[index]`: XLA would first try to find a constant index, for many seconds.
    return ops.take(stack, index, axis=0)


def _put(stack: Tensor, expert: Tensor, member: Tensor) -> Tensor:
    start = (expert, *(0 for _ in member.shape))
    return ops.slice_update(stack, start, ops.cast(member, stack.dtype)[None])


def _slots_of_rows(row_bm: Tensor, most: Size, rows: Size) -> Tensor:
    """Inverts `row_bm`: the slot of each row, -1 in padding."""
    row_s = ops.reshape(row_bm, (-1,))
    # Empty slots go to a row behind the last; slots count from 1, so that what nobody wrote is -1.
    row_s = ops.where(row_s < 0, most * rows, row_s)
    slot_p = ops.scatter(
        row_s[:, None], ops.arange(1, ops.shape(row_s)[0] + 1, dtype="int32"), (most * rows + 1,)
    )
    return ops.reshape(slot_p[:-1] - 1, (most, rows))


def _rows_of_block(slots: Size, num_experts: int) -> Size:
    """Rows R of a block: half of an average expert's, so that padding is a quarter, in whole steps."""
    steps = (slots + 2 * num_experts * ROWS_STEP - 1) // (2 * num_experts * ROWS_STEP)
    return _min(_max(steps * ROWS_STEP, ROWS_STEP), ROWS_MOST)


def _min(size: Size, other: int) -> Size:
    return min(size, other) if isinstance(size, int) else ops.minimum(size, other)


def _max(size: Size, other: int) -> Size:
    return max(size, other) if isinstance(size, int) else ops.maximum(size, other)
