"""Blocked execution for XLA: static shapes, with loops over filled blocks only.

XLA needs static sizes, so each expert's rows are padded to whole blocks of `R` rows, and the buffer holds the
maximum number of blocks under the bound on `|U|`. The outer loop goes over the experts chosen in the batch
and reads each expert's weights once; the inner loop goes over the expert's blocks. So work is proportional to
the number of pairs, and no pair is dropped. XLA can't differentiate loops with a dynamic end, so the gradient
is written by hand as two such loops, which recompute the hidden activations of a block.
"""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keras_smes.backend.rows import put_rows
from keras_smes.backend.vjp import pull_back
from keras_smes.execution.block_plan import BlockPlan, plan_blocks
from keras_smes.execution.experts import Choice, Experts
from keras_smes.execution.rows import take_rows
from keras_smes.types import Tensor


def run(inputs_bd: Tensor, choice: Choice, experts: Experts) -> Tensor:
    """Returns `y[b,t,:] = sum over executed e of weights[b,t,e] * f_e(inputs[b])`, float32 `[B, T, out]`."""
    plan = plan_blocks(choice.union_be, choice.executed_bm)
    outputs_bmo = ops.cast(run_blocks(inputs_bd, plan, experts), "float32")
    return ops.matmul(choice.slot_weights_btm, outputs_bmo)


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

    Arguments are constants within: outer and persistent tapes would record operations for which XLA has no
    gradient.
    """

    @ops.custom_gradient
    def call(*arguments: Tensor) -> Any:
        constants = [ops.stop_gradient(argument) for argument in arguments]
        return function(*constants), lambda *cotangents: gradient(*arguments, *cotangents)

    return call(*arguments)


def _refuse(*_: Tensor) -> Any:
    raise NotImplementedError(
        "`execution='blocks'` has first derivatives only: use execution='dense' for gradients of gradients."
    )


def _forward(
    run_expert: Callable[..., Tensor], inputs_bd: Tensor, stacks: Sequence[Tensor], plan: BlockPlan
) -> Tensor:
    count, rows = ops.shape(plan.slot_nr)

    def body(expert: Tensor, outputs_po: Tensor) -> tuple[Tensor]:
        weights = [_at(stack, expert) for stack in stacks]

        def block(n: Tensor, outputs_po: Tensor) -> tuple[Tensor]:
            rows_ro = run_expert(_rows_of_instances(inputs_bd, plan, n), *weights)
            return (put_rows(outputs_po, n * rows, rows_ro),)

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
            rows_ro = take_rows(slots_so, _at(plan.slot_nr, n))
            at = [_rows_of_instances(inputs_bd, plan, n), *weights]
            rows_rd, *parts = pull_back(run_expert, at, rows_ro)
            sums = tuple(s + ops.cast(part, s.dtype) for s, part in zip(sums, parts, strict=True))
            return put_rows(inputs_pd, n * rows, rows_rd), *sums

        sums = [ops.zeros(weight.shape, dtype="float32") for weight in weights]
        first, end = _at(plan.first_e, expert), _at(plan.end_e, expert)
        inputs_pd, *sums = _loop(first, end, block, (inputs_pd, *sums))
        return inputs_pd, *(put_rows(g, expert, s[None]) for g, s in zip(gradients, sums, strict=True))

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
    return take_rows(inputs_bd, ops.where(slot_r < 0, -1, slot_r // plan.row_bm.shape[1]))


def _rows_of_slots(rows_po: Tensor, plan: BlockPlan) -> Tensor:
    return take_rows(rows_po, plan.row_bm)


def _at(stack: Tensor, index: Tensor) -> Tensor:
    # Not `stack[index]`, for which XLA searches a constant index for many seconds.
    return ops.take(stack, index, axis=0)
