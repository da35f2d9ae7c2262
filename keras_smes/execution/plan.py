"""Plans: from masks to index tensors. A pair is (instance, expert that the instance executes).

TensorFlow, with dynamic shapes: the number of pairs is what the batch really needs.
"""

from typing import Any, NamedTuple

import tensorflow as tf

Tensor = Any


class Plan(NamedTuple):
    """How instances become rows packed by expert, and come back.

    Rows `0 .. P-1` are the pairs, ordered by expert and then by instance. One more row belongs to
    nobody: empty slots point to it, and what comes back from it is zero. An empty batch has no rows.

    Attributes:
        slot_p: `[P + 1]` int32, where a packed row returns to: the flat index `b * M + m`.
        instance_p: `[P + 1]` int32, the instance of a packed row.
        count_g: `[E + 1]` int32, rows of each group: the experts, then nobody.
        row_bm: `[B, M]` int32, the packed row of an instance's m-th expert, the inverse of `slot_p`.
    """

    slot_p: Tensor
    instance_p: Tensor
    count_g: Tensor
    row_bm: Tensor


def pack(union_be: Tensor, executed_bm: Tensor) -> Plan:
    """Orders the pairs of a batch by expert.

    Args:
        union_be: `[B, E]` bool, the executed experts.
        executed_bm: `[B, M]` int32, the same experts listed ascending, padded with E.

    Returns:
        The `Plan`.
    """
    batch, slots = tf.shape(executed_bm)[0], executed_bm.shape[1]
    member_eb = tf.cast(tf.transpose(union_be), tf.int32)
    # Reading the mask expert by expert, a pair's row is the number of pairs before it; padding, read
    # at "expert E", finds the number of all pairs: the row that belongs to nobody.
    before_eb = tf.cumsum(tf.reshape(member_eb, [-1]), exclusive=True)
    count_g = tf.concat([tf.reduce_sum(member_eb, axis=1), [tf.minimum(batch, 1)]], axis=0)
    pairs = tf.reduce_sum(count_g[:-1])
    before_eb = tf.concat([before_eb, tf.fill([batch], pairs)], axis=0)
    row_bm = tf.gather(before_eb, executed_bm * batch + tf.range(batch)[:, None])
    row_s = tf.reshape(row_bm, [-1])
    # Empty slots all write zero to the row of nobody, which takes any slot.
    slot_s = tf.where(row_s < pairs, tf.range(tf.size(row_s)), 0)
    slot_p = tf.scatter_nd(row_s[:, None], slot_s, tf.reduce_sum(count_g, keepdims=True))
    return Plan(slot_p, slot_p // slots, count_g, row_bm)
