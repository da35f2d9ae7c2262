"""Grouped execution for TensorFlow graphs: the chosen pairs, packed by expert, each exactly once.

Shapes are dynamic, so work follows the real number of pairs and not a bound. Plain TensorFlow ops
only, as stock TF Serving runs them. The gradients of the two gathers are gathers through the inverse
index, because each packed row has one slot to return to: no scatter-add, no order of summation left
to threads.
"""

from typing import Any

import tensorflow as tf

from keras_smes.execution.experts import Choice, Experts
from keras_smes.execution.plan import Plan, pack

Tensor = Any


def run(inputs_bd: Tensor, choice: Choice, experts: Experts) -> Tensor:
    """Returns `y[b,t,:] = sum over executed e of weights[b,t,e] * f_e(inputs[b])`, float32 `[B, T, out]`."""
    plan = pack(choice.union_be, choice.executed_bm)
    rows_pd = to_rows(inputs_bd, plan)
    rows_po = experts.finish(run_groups(rows_pd, plan.count_g, experts))
    outputs_bmo = tf.cast(to_slots(rows_po, plan), tf.float32)
    return tf.matmul(weights_of_slots(choice), outputs_bmo)


def to_rows(inputs_bd: Tensor, plan: Plan) -> Tensor:
    """Gathers the packed rows `[P + 1, D]` of instances `[B, D]`."""

    @tf.custom_gradient
    def gather(inputs_bd: Tensor) -> Any:
        def gradient(rows_pd: Tensor) -> Tensor:
            return tf.reduce_sum(tf.gather(rows_pd, plan.row_bm), axis=1)

        return tf.gather(inputs_bd, plan.instance_p), gradient

    return gather(inputs_bd)


def to_slots(rows_po: Tensor, plan: Plan) -> Tensor:
    """Returns packed rows `[P + 1, out]` to their instances: `[B, M, out]`, zero in empty slots."""

    @tf.custom_gradient
    def gather(rows_po: Tensor) -> Any:
        def gradient(slots_bmo: Tensor) -> Tensor:
            return tf.gather(tf.reshape(slots_bmo, [-1, slots_bmo.shape[-1]]), plan.slot_p)

        return tf.gather(rows_po, plan.row_bm), gradient

    return gather(rows_po)


def run_groups(rows_pd: Tensor, count_g: Tensor, experts: Experts) -> Tensor:
    """Runs each expert's MLP once over its packed rows; the row of nobody is zero again."""
    groups = tf.split(rows_pd, count_g, num=experts.num_experts + 1)
    # Weights come apart in one op: a slice per expert would make the gradient quadratic in E.
    layers = [(tf.unstack(k), tf.unstack(b), activation) for k, b, activation in experts.layers]
    for expert in range(experts.num_experts):
        rows = groups[expert]
        for kernels, biases, activation in layers:
            rows = activation(tf.nn.bias_add(tf.matmul(rows, kernels[expert]), biases[expert]))
        groups[expert] = rows
    groups[-1] = tf.zeros([count_g[-1], groups[0].shape[-1]], groups[0].dtype)
    return tf.concat(groups, axis=0)


def weights_of_slots(choice: Choice) -> Tensor:
    """Picks the weights of the listed experts: `[B, T, M]`, zero in empty slots."""
    num_experts = choice.union_be.shape[-1]
    used_bm = choice.executed_bm < num_experts
    expert_bm = tf.where(used_bm, choice.executed_bm, 0)
    weights_btm = tf.gather(choice.weights_bte, expert_bm, axis=2, batch_dims=1)
    return tf.where(used_bm[:, None, :], weights_btm, 0.0)
