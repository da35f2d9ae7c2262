"""Tiled execution for XLA on GPUs: static shapes, and one batched product per layer for all experts.

Loops over blocks run small products one after another, which underuses a GPU. Here each expert's rows are
padded to whole tiles of `R` rows, each tile gets a copy of its expert's weights, and a layer is one batched
product over the `N` tiles under the bound on `|U|`; no pair is dropped. Work is that of the padded tiles, and
memory that of a copy of the weights per tile. Gradients are written by hand: those of weights are sums over
the tiles of an expert, and rows return to their slots.
"""

from typing import Any

from keras import ops

from keras_smes.execution.block_plan import BlockPlan, plan_blocks
from keras_smes.execution.experts import Choice, Experts
from keras_smes.execution.rows import to_rows, to_slots
from keras_smes.types import Tensor

ROWS_MOST = 512


def run(inputs_bd: Tensor, choice: Choice, experts: Experts) -> Tensor:
    """Returns `y[b,t,:] = sum over executed e of weights[b,t,e] * f_e(inputs[b])`, float32 `[B, T, out]`."""
    plan = plan_blocks(choice.union_be, choice.executed_bm, ROWS_MOST)
    expert_n = experts_of_tiles(plan)
    rows_nro = to_rows(inputs_bd, plan.slot_nr, plan.row_bm)
    for kernel_eio, bias_eo, activation in experts.layers:
        products_nro = ops.matmul(rows_nro, weights_of_tiles(kernel_eio, expert_n))
        rows_nro = activation(products_nro + weights_of_tiles(bias_eo, expert_n)[:, None])
    outputs_bmo = ops.cast(experts.finish(to_slots(rows_nro, plan.slot_nr, plan.row_bm)), "float32")
    return ops.matmul(choice.slot_weights_btm, outputs_bmo)


def experts_of_tiles(plan: BlockPlan) -> Tensor:
    """Returns the expert of each tile, int32 `[N]`, ascending; any expert for empty tiles."""
    tile_n1 = ops.arange(ops.shape(plan.slot_nr)[0], dtype="int32")[:, None]
    ended_n = ops.sum(ops.cast(plan.end_e <= tile_n1, "int32"), axis=1)
    return ops.minimum(ended_n, plan.end_e.shape[0] - 1)


def weights_of_tiles(stack: Tensor, expert_n: Tensor) -> Tensor:
    """Takes the weights of each tile's expert, `[N, ...]` from `[E, ...]`."""

    @ops.custom_gradient
    def take(stack: Tensor) -> Any:
        def gradient(tiles: Tensor) -> Tensor:
            # In float32, as sums run over many tiles.
            sums = ops.segment_sum(ops.cast(tiles, "float32"), expert_n, num_segments=stack.shape[0])
            return ops.cast(sums, stack.dtype)

        return ops.take(stack, expert_n, axis=0), gradient

    return take(stack)
