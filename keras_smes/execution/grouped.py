"""Grouped execution for TensorFlow graphs: the chosen pairs, grouped by expert, each exactly once.

Shapes are dynamic, so work is proportional to the number of pairs. Only operations of stock TF Serving are
used. Taking an expert's rows out of the batch and returning them to their slots are each other's gradient,
because each pair has one slot: there is no scatter-add, and the order of summation doesn't depend on threads.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_smes.execution.experts import Choice, Experts
from keras_smes.execution.plan import PairPlan, pack
from keras_smes.types import Tensor

# Rows that the busiest expert may have above the mean: multiplying them takes as long as copying a gradient.
MOST_PADDING = 10
MOST_CACHED = 4_000_000  # weights whose gradients are copied within the processor's cache


def run(inputs_bd: Tensor, choice: Choice, experts: Experts) -> Tensor:
    """Returns `y[b,t,:] = sum over executed e of weights[b,t,e] * f_e(inputs[b])`, float32 `[B, T, out]`."""
    plan = pack(choice.executed_bm, experts.num_experts)
    rows_e = run_groups(take_rows(inputs_bd, plan), experts)
    outputs_bmo = tf.cast(experts.finish(return_rows(rows_e, plan)), tf.float32)
    return tf.matmul(choice.slot_weights_btm, outputs_bmo)


def take_rows(inputs_bd: Tensor, plan: PairPlan) -> list[Tensor]:
    """Gathers, for each expert, the rows `[rows, D]` of the instances that execute it."""

    @tf.custom_gradient
    def take(inputs_bd: Tensor) -> Any:
        def gradient(*rows_e: Tensor) -> Tensor:
            return tf.reduce_sum(_stitch(rows_e, plan), axis=1)

        return [tf.gather(inputs_bd, instances) for instances in plan.instances_e], gradient

    return list(take(inputs_bd))


def return_rows(rows_e: list[Tensor], plan: PairPlan) -> Tensor:
    """Returns each expert's rows to the slots of their instances: `[B, M, out]`, zero in empty slots."""

    @tf.custom_gradient
    def give_back(*rows_e: Tensor) -> Any:
        def gradient(slots_bmo: Tensor) -> list[Tensor]:
            slots_so = tf.reshape(slots_bmo, [-1, slots_bmo.shape[-1]])
            return [tf.gather(slots_so, slots) for slots in plan.slots_e]

        return _stitch(rows_e, plan), gradient

    return give_back(*rows_e)


def _stitch(rows_e: Sequence[Tensor], plan: PairPlan) -> Tensor:
    width = rows_e[0].shape[-1]
    nothing = tf.zeros([tf.size(plan.empty_s), width], rows_e[0].dtype)
    slots_so = tf.raw_ops.ParallelDynamicStitch(
        indices=[*plan.slots_e, plan.empty_s], data=[*rows_e, nothing]
    )
    return tf.reshape(slots_so, [-1, plan.slots, width])


def run_groups(rows_e: list[Tensor], experts: Experts) -> list[Tensor]:
    """Runs each expert's MLP once over its rows."""
    for kernel_eio, bias_eo, activation in experts.layers:
        given = zip(multiply(rows_e, kernel_eio), tf.unstack(bias_eo), tf.unstack(-bias_eo), strict=True)
        rows_e = [activation(_add_bias(*of_expert)) for of_expert in given]
    return rows_e


def multiply(rows_e: list[Tensor], kernel_eio: Tensor) -> list[Tensor]:
    """Multiplies each expert's rows by its kernel."""

    @tf.custom_gradient
    def products(kernel_eio: Tensor, *rows_e: Tensor) -> Any:
        # Weights come apart in one op: a slice per expert would make the gradient quadratic in E.
        kernels = tf.unstack(kernel_eio)

        def gradient(*products_e: Tensor) -> tuple[Tensor, ...]:
            pairs = zip(products_e, kernels, strict=True)
            return _kernel_gradient(rows_e, products_e), *(
                tf.matmul(p, k, transpose_b=True) for p, k in pairs
            )

        return [tf.matmul(rows, kernel) for rows, kernel in zip(rows_e, kernels, strict=True)], gradient

    return list(products(kernel_eio, *rows_e))


def _kernel_gradient(rows_e: Sequence[Tensor], gradients_e: Sequence[Tensor]) -> Tensor:
    """Sums rows times gradients for each expert, `[E, in, out]`.

    Products apart must be copied into one stack. For few rows an expert that takes longer than one batched
    product of rows that are padded to the busiest expert's, which writes the stack itself.
    """
    rows = tf.stack([tf.shape(rows)[0] for rows in rows_e])
    most = tf.reduce_max(rows)

    def together() -> Tensor:
        place = tf.range(most)
        end_e1 = tf.cumsum(rows)[:, None]
        row_er = tf.where(place < rows[:, None], end_e1 - rows[:, None] + place, end_e1[-1])
        return tf.matmul(_padded(rows_e, row_er), _padded(gradients_e, row_er), transpose_a=True)

    def apart() -> Tensor:
        pairs = zip(rows_e, gradients_e, strict=True)
        return tf.stack([tf.matmul(rows, gradients, transpose_a=True) for rows, gradients in pairs])

    if len(rows_e) * rows_e[0].shape[-1] * gradients_e[0].shape[-1] < MOST_CACHED:
        return apart()  # an op for each branch and tensor costs more than the copy
    return tf.cond((most - MOST_PADDING) * len(rows_e) <= tf.reduce_sum(rows), together, apart)


def _padded(rows_e: Sequence[Tensor], row_er: Tensor) -> Tensor:
    """Returns rows as `[E, R, width]`; the row behind the last one is zero."""
    nothing = tf.zeros([1, rows_e[0].shape[-1]], rows_e[0].dtype)
    return tf.gather(tf.concat([*rows_e, nothing], axis=0), row_er)


@tf.custom_gradient
def _add_bias(rows: Tensor, bias: Tensor, negative_bias: Tensor) -> Any:
    """Returns `rows + bias` as a difference.

    TensorFlow fuses a product and an added bias into a oneDNN operation, which is slower for the few rows of
    an expert than a product and an in-place difference.
    """

    def gradient(rows_gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        # As in `bias_add`: the gradient of a difference computes at run time which axes were broadcast.
        return rows_gradient, tf.raw_ops.BiasAddGrad(out_backprop=rows_gradient), None

    return rows - negative_bias, gradient
