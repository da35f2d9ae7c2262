"""The balance loss against the oracle: values, derivative, masks and hand-worked numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from support import oracle
from support.backends import assert_close, evaluate, gradients
from support.cases import DRAWN, problems

from keras_smes.balance import global_balance_loss, mean_over_instances


def routed(seed=0, batch=6, num_shared=1, num_private=1, num_tasks=3, num_experts=5):
    logits = np.random.default_rng(seed).normal(size=(batch, num_tasks, num_experts)).astype(np.float32)
    return oracle.route_logits(logits.astype(np.float64), num_shared, num_private)


def loss_of(route, mask=None):
    arguments = (route.probabilities.astype(np.float32), route.chosen)
    return evaluate(global_balance_loss, *arguments, *([] if mask is None else [mask]))


def loss_gradient(route, mask=None):
    """Gradient of the loss with respect to the logits, through the softmax alone."""

    def function(tensors):
        return global_balance_loss(ops.softmax(tensors[0]), route.chosen, mask)

    return gradients(function, [route.logits.astype(np.float32)])[0]


@DRAWN
@given(problems(), st.data())
def test_equals_the_oracle_with_and_without_mask(problem, data):
    route = problem.route()
    rows = st.lists(st.booleans(), min_size=len(problem.h), max_size=len(problem.h))
    mask = np.array(data.draw(rows), bool)
    assert_close(loss_of(route), oracle.balance_loss(route.probabilities, route.chosen))
    assert_close(loss_of(route, mask), oracle.balance_loss(route.probabilities, route.chosen, mask))


def test_by_hand():
    # One instance, two tasks, three experts, one expert a task: task 0 takes expert 0, task 1 expert 2.
    #   f = [1/2, 0, 1/2], p = [(0.5 + 0.1) / 2, (0.3 + 0.2) / 2, (0.2 + 0.7) / 2] = [0.3, 0.25, 0.45]
    #   L = 3 / 1 * (0.15 + 0.225) = 1.125
    probabilities = np.array([[[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]], np.float32)
    chosen = np.array([[[True, False, False], [False, False, True]]])
    assert_close(evaluate(global_balance_loss, probabilities, chosen), 1.125)


@pytest.mark.parametrize("picks", [1, 2, 4])
def test_is_one_when_load_and_probabilities_are_uniform(picks):
    """Whatever the number of picks: that is what the factor E / K is for."""
    instance, expert = np.arange(4)[:, None, None], np.arange(4)
    chosen = np.broadcast_to((expert - instance) % 4 < picks, (4, 3, 4))
    assert_close(evaluate(global_balance_loss, np.full((4, 3, 4), 0.25, np.float32), chosen), 1.0)


def test_is_the_number_of_experts_when_one_expert_takes_all():
    everything = np.zeros((5, 2, 7), np.float32)
    everything[:, :, 3] = 1
    assert_close(evaluate(global_balance_loss, everything, everything > 0), 7.0)


def test_tasks_may_pick_different_numbers_of_experts():
    route = routed(1, num_private=[0, 3, 1])
    expected = oracle.balance_loss(route.probabilities, route.chosen)
    assert_close(loss_of(route), expected)


def test_masked_rows_are_as_if_they_were_not_there():
    route, mask = routed(2), np.array([True, False, True, True, False, False])
    kept = oracle.route_logits(route.logits[mask], 1, 1)
    assert_close(loss_of(route, mask), loss_of(kept), 1e-6)


def test_the_gradient_goes_through_the_probabilities_only():
    route = routed(3)
    gradient = loss_gradient(route)
    assert_close(gradient, oracle.balance_gradient(route.probabilities, route.chosen))

    def with_load_held_fixed(logits):
        p = [[oracle.softmax(row) for row in instance] for instance in logits]
        return oracle.balance_loss(np.array(p), route.chosen)

    assert_close(gradient, oracle.finite_differences(with_load_held_fixed, route.logits))


def test_the_gradient_of_masked_rows_is_zero():
    route, mask = routed(4), np.array([True, False, True, True, False, True])
    gradient = loss_gradient(route, mask)
    assert_close(gradient, oracle.balance_gradient(route.probabilities, route.chosen, mask))
    assert (gradient[~mask] == 0).all()


def test_no_gradient_reaches_the_load_even_where_it_could():
    route = routed(5)
    function = lambda tensors: global_balance_loss(route.probabilities.astype("float32"), tensors[0])  # noqa: E731
    (gradient,) = gradients(function, [route.chosen.astype(np.float32)])
    assert (gradient == 0).all()


@pytest.mark.parametrize("batch", [0, 3])
def test_is_zero_with_a_zero_gradient_where_no_row_counts(batch):
    route, nobody = routed(6, batch=batch), np.zeros(batch, bool)
    assert loss_of(route, nobody) == 0
    assert (loss_gradient(route, nobody) == 0).all()


def test_mean_over_instances_and_tasks():
    # Rows 0 and 2 count: expert 0 has (1 + 3) / 2 and (5 + 7) / 2, so 4; expert 1 has 1.
    values = np.array([[[1, 0], [3, 0]], [[9, 9], [9, 9]], [[5, 2], [7, 2]]], np.float32)
    mean = evaluate(mean_over_instances, values, np.array([True, False, True]))
    assert_close(mean, [4.0, 1.0])
