"""Plans: from masks to index tensors. A pair is (instance, expert that the instance executes).

TensorFlow, with dynamic shapes: the number of pairs is what the batch really needs.
"""

from typing import Any, NamedTuple

import tensorflow as tf

Tensor = Any


class Plan(NamedTuple):
    """Where each expert's rows come from, and where they return to.

    An instance's m-th expert is slot `b * M + m`. Every slot is the place of one pair, or empty.

    Attributes:
        instances_e: For each expert, the instances that execute it, ascending: int32.
        slots_e: For each expert, the slots of the same pairs: int32.
        empty_s: int32, the slots without an expert.
        slots: How many slots an instance has, M.
    """

    instances_e: list[Tensor]
    slots_e: list[Tensor]
    empty_s: Tensor
    slots: int


def pack(union_be: Tensor, executed_bm: Tensor) -> Plan:
    """Groups the pairs of a batch by expert.

    Args:
        union_be: `[B, E]` bool, the executed experts.
        executed_bm: `[B, M]` int32, the same experts listed ascending, padded with E.

    Returns:
        The `Plan`.
    """
    num_experts, slots = union_be.shape[1], executed_bm.shape[1]
    member_be = tf.cast(union_be, tf.int32)
    count_e = tf.reduce_sum(member_be, axis=0)
    # Read expert by expert, the mask lists the pairs grouped by expert.
    pair_p2 = tf.cast(tf.where(tf.transpose(union_be)), tf.int32)
    expert_p, instance_p = pair_p2[:, 0], pair_p2[:, 1]
    instances_e = tf.split(instance_p, count_e, num=num_experts)
    # Experts wait for their instances, and for nothing else: what is needed afterwards comes after.
    with tf.control_dependencies(instances_e[:1]):
        slot_be = tf.cumsum(member_be, axis=1, exclusive=True)
    slot_p = instance_p * slots + tf.gather(tf.reshape(slot_be, [-1]), instance_p * num_experts + expert_p)
    empty_s = tf.where(tf.reshape(executed_bm, [-1]) >= num_experts)[:, 0]
    return Plan(instances_e, tf.split(slot_p, count_e, num=num_experts), tf.cast(empty_s, tf.int32), slots)
