"""Slots against indexing with a loop."""

import numpy as np
import pytest
from keras import ops
from support import oracle
from support.backends import assert_close, evaluate, gradients, to_numpy

from keras_smes import routing
from keras_smes.routing import slot_gates, take_slots


@pytest.mark.parametrize("batch", [0, 1, 5])
def test_takes_the_values_of_the_executed_experts(batch):
    rng = np.random.default_rng(batch)
    values = rng.normal(size=(batch, 3, 7)).astype(np.float32)
    executed = rng.integers(0, 7, (batch, 4)).astype(np.int32)
    expected = [[[values[b, t, e] for e in executed[b]] for t in range(3)] for b in range(batch)]
    np.testing.assert_array_equal(evaluate(take_slots, values, executed), np.reshape(expected, (batch, 3, 4)))


def test_an_empty_slot_takes_something_finite():
    taken = evaluate(take_slots, np.ones((1, 2, 3), np.float32), np.array([[0, 3]], np.int32))
    np.testing.assert_array_equal(taken, np.ones((1, 2, 2)))


def test_gradients_return_to_the_expert():
    executed = np.array([[0, 2], [1, 3]], np.int32)
    cotangent = np.arange(1, 9, dtype=np.float32).reshape(2, 2, 2)
    values = np.zeros((2, 2, 4), np.float32)
    (found,) = gradients(lambda tensors: ops.sum(take_slots(tensors[0], executed) * cotangent), [values])
    np.testing.assert_array_equal(found, [[[1, 0, 2, 0], [3, 0, 4, 0]], [[0, 5, 0, 6], [0, 7, 0, 8]]])


def random_choice(seed, batch=5, num_tasks=3, num_experts=9, num_shared=2, num_private=(1, 0, 2)):
    """Logits, and shared, private and executed experts: tasks may pick the same one, or fewer than others."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(batch, num_tasks, num_experts)).astype(np.float32)
    orders = np.array([rng.permutation(num_experts) for _ in range(batch)]).reshape(batch, num_experts)
    shared, others = np.sort(orders[:, :num_shared]), orders[:, num_shared:]
    private = np.full((batch, num_tasks, max(num_private)), num_experts)
    union = np.zeros((batch, num_experts), bool)
    for b in range(batch):
        union[b, shared[b]] = True
        for t, count in enumerate(num_private):
            private[b, t, :count] = rng.permutation(others[b])[:count]
            union[b, private[b, t, :count]] = True
    executed = oracle.executed(union, num_shared + sum(num_private))
    return logits, *(picks.astype(np.int32) for picks in (shared, private, executed))


def gates_of_all_experts(logits, shared, private, executed):
    """The same with TensorFlow's or JAX' own gradient: a softmax over all experts, then the slots."""
    experts = ops.arange(logits.shape[2], dtype="int32")
    chosen = ops.logical_or(routing.among(experts, shared)[:, None], routing.among(experts, private))
    gates = routing.gates(logits, chosen)
    return ops.where((executed < logits.shape[2])[:, None], take_slots(gates, executed), 0.0)


@pytest.mark.parametrize("batch", [0, 1, 5])
def test_slot_gates_are_a_softmax_over_the_task_set(batch):
    logits, shared, private, executed = random_choice(batch, batch)
    found = evaluate(slot_gates, logits, shared, private, executed)
    expected = np.zeros((batch, 3, executed.shape[1]))
    for b, t in np.ndindex(batch, 3):
        picks = [e for e in (*shared[b], *private[b, t]) if e < 9]
        slots = [list(executed[b]).index(e) for e in picks]
        expected[b, t, slots] = oracle.softmax(logits[b, t, picks].astype(float))
    assert_close(found, expected)


@pytest.mark.parametrize(("num_shared", "num_private"), [(2, (1, 0, 2)), (0, (2, 2, 2)), (3, (0, 0, 0))])
def test_gradients_of_slot_gates_equal_autodiff(num_shared, num_private):
    logits, *picks = random_choice(1, num_shared=num_shared, num_private=num_private)
    cotangent = np.random.default_rng(2).normal(size=(5, 3, picks[-1].shape[1])).astype(np.float32)
    found, expected = (
        gradients(lambda tensors, f=function: ops.sum(f(tensors[0], *picks) * cotangent), [logits])[0]
        for function in (slot_gates, gates_of_all_experts)
    )
    assert_close(found, expected)


def test_a_broken_row_of_logits_stays_alone():
    logits, *picks = random_choice(3)
    broken, others = logits.copy(), np.arange(5) != 2
    broken[2] = np.nan
    for loss in (lambda z: slot_gates(z, *picks), lambda z: slot_gates(z, *picks) ** 2):
        before, after = (gradients(lambda x, f=loss: ops.sum(f(x[0])), [z])[0] for z in (logits, broken))
        np.testing.assert_array_equal(after[others], before[others])
    values = [evaluate(slot_gates, z, *picks)[others] for z in (logits, broken)]
    np.testing.assert_array_equal(*values)


@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_any_tape_differentiates_slot_gates(jit_compile):
    """Eager, graph and XLA; a persistent tape, one around another, and a gradient of a gradient."""
    import tensorflow as tf

    logits, *picks = random_choice(4)

    def of(function):
        def compute(z):
            with tf.GradientTape(persistent=True) as outer:
                outer.watch(z)
                with tf.GradientTape() as inner:
                    inner.watch(z)
                    gates = function(z, *picks)
                    loss = tf.reduce_sum(tf.sin(3.0 * gates))
                first = inner.gradient(loss, z)
                curvature = tf.reduce_sum(first**2)
            return [
                first,
                outer.gradient(loss, z),
                outer.gradient(gates[:, 1], z),
                outer.gradient(curvature, z),
            ]

        return compute if jit_compile is None else tf.function(compute, jit_compile=jit_compile)

    found, expected = (of(function)(tf.constant(logits)) for function in (slot_gates, gates_of_all_experts))
    for one, other in zip(found, expected, strict=True):
        assert_close(to_numpy(one), to_numpy(other))
