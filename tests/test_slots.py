"""Slots against indexing with a loop."""

import numpy as np
import pytest
from keras import ops
from support.backends import evaluate, gradients

from keras_smes.slots import take_slots


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
