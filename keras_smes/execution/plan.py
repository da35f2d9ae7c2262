"""Plans: from masks to index tensors. A pair is (instance, expert that the instance executes).

TensorFlow, with dynamic shapes: the number of pairs is what the batch really needs.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_smes.types import Tensor


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


def pack(executed_bm: Tensor, num_experts: int) -> Plan:
    """Groups the pairs of a batch by expert.

    Args:
        executed_bm: `[B, M]` int32, the executed experts of each instance, padded with E.
        num_experts: E.

    Returns:
        The `Plan`.
    """
    instance_b = tf.range(tf.shape(executed_bm)[0])
    # Spread, not divided from the slot: both lists are made at once, and a division of integers is slow.
    instance_bm = tf.broadcast_to(instance_b[:, None], tf.shape(executed_bm))
    # Flat: the converter to ONNX knows partitions of rank 1 only.
    instance_s, executed_s = tf.reshape(instance_bm, [-1]), tf.reshape(executed_bm, [-1])
    # Whatever is partitioned keeps its order, and slots come instance by instance.
    *slots_e, empty_s = tf.dynamic_partition(tf.range(tf.size(executed_s)), executed_s, num_experts + 1)
    *instances_e, _ = tf.dynamic_partition(instance_s, executed_s, num_experts + 1)
    return Plan(instances_e, slots_e, empty_s, executed_bm.shape[1])
