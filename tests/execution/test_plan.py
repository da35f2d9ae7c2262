"""Plans against loops: each pair one row, each row back to its slot."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import oracle
from support.backends import to_numpy
from support.cases import DRAWN

pytestmark = pytest.mark.tensorflow


def plan_of(union, bound):
    from keras_smes.execution.plan import pack

    return to_numpy(pack(oracle.executed(union, bound).astype(np.int32), union.shape[1]))


@st.composite
def unions(draw):
    num_experts = draw(st.integers(1, 9))
    row = st.lists(st.booleans(), min_size=num_experts, max_size=num_experts)
    rows = draw(st.lists(row, max_size=9))
    union = np.array(rows, bool).reshape(len(rows), num_experts)
    fullest = max(1, int(union.sum(axis=1).max(initial=0)))
    return union, draw(st.integers(fullest, num_experts))


def pairs_by_expert(union):
    """`(instance, expert)` ordered by expert, then by instance."""
    return [(b, e) for e in range(union.shape[1]) for b in range(len(union)) if union[b, e]]


@DRAWN
@given(unions())
def test_each_pair_is_listed_once_under_its_expert(drawn):
    union, bound = drawn
    plan = plan_of(union, bound)
    listed = [(b, e) for e, instances in enumerate(plan.instances_e) for b in instances]
    assert listed == pairs_by_expert(union)


@DRAWN
@given(unions())
def test_a_row_returns_to_the_slot_that_lists_its_expert(drawn):
    union, bound = drawn
    plan = plan_of(union, bound)
    lists = oracle.executed(union, bound)
    for expert, (instances, slots) in enumerate(zip(plan.instances_e, plan.slots_e, strict=True)):
        assert len(instances) == len(slots)
        for b, slot in zip(instances, slots, strict=True):
            assert slot // bound == b
            assert lists[b, slot % bound] == expert


@DRAWN
@given(unions())
def test_every_other_slot_is_empty(drawn):
    union, bound = drawn
    plan = plan_of(union, bound)
    used = [slot for slots in plan.slots_e for slot in slots]
    assert sorted([*used, *plan.empty_s]) == list(range(len(union) * bound))
    assert plan.slots == bound


def test_the_batch_size_may_be_unknown():
    import tensorflow as tf

    from keras_smes.execution.plan import pack

    union = np.random.default_rng(0).random((6, 5)) < 0.4
    lists = oracle.executed(union, 5).astype(np.int32)
    traced = tf.function(lambda lists: pack(lists, 5), input_signature=[tf.TensorSpec([None, 5], tf.int32)])
    for rows in (6, 0, 1):
        plan = to_numpy(traced(lists[:rows]))
        expected = plan_of(union[:rows], 5)
        for found, known in zip(
            plan.instances_e + plan.slots_e, expected.instances_e + expected.slots_e, strict=True
        ):
            np.testing.assert_array_equal(found, known)
        np.testing.assert_array_equal(plan.empty_s, expected.empty_s)
