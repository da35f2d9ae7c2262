"""Plans of pairs (instance, executed expert) with dynamic shapes, for TensorFlow."""

from typing import NamedTuple

import tensorflow as tf

from keras_smes.types import Tensor


class PairPlan(NamedTuple):
    """Sources and destinations of each expert's rows.

    An instance's m-th expert is slot `b * M + m`. Every slot holds one pair or is empty.

    Attributes:
        instances_e: For each expert, the instances that execute it, ascending: int32.
        slots_e: For each expert, the slots of the same pairs: int32.
        empty_s: int32, the slots without an expert.
        slots: Number of slots per instance, M.
    """

    instances_e: list[Tensor]
    slots_e: list[Tensor]
    empty_s: Tensor
    slots: int


def pack(executed_bm: Tensor, num_experts: int) -> PairPlan:
    """Groups the pairs of a batch by expert."""
    instance_b = tf.range(tf.shape(executed_bm)[0])
    # Broadcast instead of an integer division of the slot, which is slow.
    instance_bm = tf.broadcast_to(instance_b[:, None], tf.shape(executed_bm))
    # Flat, as the converter to ONNX supports partitions of rank 1 only.
    instance_s, executed_s = tf.reshape(instance_bm, [-1]), tf.reshape(executed_bm, [-1])
    # Partitions keep their order, and slots are ordered by instance.
    *slots_e, empty_s = tf.dynamic_partition(tf.range(tf.size(executed_s)), executed_s, num_experts + 1)
    *instances_e, _ = tf.dynamic_partition(instance_s, executed_s, num_experts + 1)
    return PairPlan(instances_e, slots_e, empty_s, executed_bm.shape[1])
