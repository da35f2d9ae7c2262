"""The balance loss of each router by itself, and SMES with it."""

import keras
import numpy as np
import pytest
from keras import ops
from support import oracle
from support.backends import assert_close, evaluate, gradients, to_numpy, to_tensors
from support.layer_contract import (
    assert_config_round_trip,
    assert_runs_everywhere,
    assert_saves,
    assert_shapes,
)

from keras_smes import SMES
from keras_smes.balance import global_balance_loss, task_balance_loss
from keras_smes.baselines import TaskBalancedSMES, TaskBalanceRegularizer

ROUTE = oracle.route_logits(np.random.default_rng(0).normal(size=(7, 3, 5)), 1, [1, 2, 0])
MASK = np.array([True, True, False, True, False, True, True])
ROUTING = {"probabilities": ROUTE.probabilities.astype("float32"), "chosen": ROUTE.chosen}
H = np.random.default_rng(1).normal(size=(8, 6)).astype("float32")


def expected(route, mask=None):
    """The specification's loss of each task alone, averaged."""
    tasks = [slice(t, t + 1) for t in range(route.chosen.shape[1])]
    parts = [oracle.balance_loss(route.probabilities[:, t], route.chosen[:, t], mask) for t in tasks]
    return np.mean(parts)


@pytest.mark.parametrize("mask", [None, MASK, np.zeros(7, bool)], ids=["all rows", "some", "none"])
def test_equals_the_oracle(mask):
    arguments = [*ROUTING.values(), *([] if mask is None else [mask])]
    assert_close(evaluate(task_balance_loss, *arguments), expected(ROUTE, mask))


def test_by_hand_where_tasks_divide_the_experts_among_them():
    # Four experts; task 0 takes expert 0 or 1, task 1 expert 2 or 3, evenly, with probability 1/2 each.
    #   global: f = p = 1/4 each, 4 * 4 / 16 = 1, balanced. By task: f = p = 1/2 for two, 4 * 2 / 4 = 2.
    halves = np.array([[[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]] * 2, "float32")
    chosen = np.array([[[1, 0, 0, 0], [0, 0, 1, 0]], [[0, 1, 0, 0], [0, 0, 0, 1]]], bool)
    assert_close(evaluate(global_balance_loss, halves, chosen), 1.0)
    assert_close(evaluate(task_balance_loss, halves, chosen), 2.0)


def test_is_one_when_every_task_is_uniform():
    instance, expert = np.arange(4)[:, None, None], np.arange(4)
    chosen = np.broadcast_to((expert - instance) % 4 < 2, (4, 3, 4))
    assert_close(evaluate(task_balance_loss, np.full((4, 3, 4), 0.25, "float32"), chosen), 1.0)


def test_the_gradient_goes_through_the_probabilities_only():
    function = lambda tensors: task_balance_loss(ops.softmax(tensors[0]), ROUTE.chosen)  # noqa: E731
    (gradient,) = gradients(function, [ROUTE.logits.astype("float32")])

    def with_load_held_fixed(logits):
        p = np.array([[oracle.softmax(row) for row in instance] for instance in logits])
        return expected(ROUTE._replace(probabilities=p))

    assert_close(gradient, oracle.finite_differences(with_load_held_fixed, ROUTE.logits))


def test_the_layer_adds_the_weighted_loss_in_training_only():
    layer = TaskBalanceRegularizer(0.25)
    layer(to_tensors(ROUTING), mask=ops.convert_to_tensor(MASK), training=True)
    assert_close(to_numpy(layer.losses), [0.25 * expected(ROUTE, MASK)])
    layer(to_tensors(ROUTING))
    assert layer.losses == []


def test_the_layer_keeps_the_contract(tmp_path):
    assert_shapes(TaskBalanceRegularizer(), (ROUTING,))
    assert_runs_everywhere(TaskBalanceRegularizer(), (ROUTING,))
    assert_saves(TaskBalanceRegularizer(0.5), (ROUTING,), tmp_path)
    assert_config_round_trip(TaskBalanceRegularizer, {"weight": 0.125})


def test_smes_differs_in_its_balance_loss_alone():
    arguments = (3, 9, 1, [1, 2, 1], (5, 4))
    layer, plain = TaskBalancedSMES(*arguments, balance_weight=0.5), SMES(*arguments, balance_weight=0.5)
    outputs = [[], []]
    plain.build((None, 6))
    layer.build((None, 6))
    layer.set_weights(plain.get_weights())
    outputs = [to_numpy(either(to_tensors(H), training=True)) for either in (layer, plain)]
    np.testing.assert_array_equal(*outputs)
    route = oracle.route(H, to_numpy(plain.router.kernel), 1, [1, 2, 1])
    assert_close(to_numpy(layer.losses), [0.5 * expected(route)])
    assert_close(to_numpy(plain.losses), [0.5 * oracle.balance_loss(route.probabilities, route.chosen)])


def test_smes_comes_back_from_its_config_with_its_balance():
    layer = TaskBalancedSMES(3, 9, 1, 1, 4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is TaskBalancedSMES
    assert isinstance(again.balance, TaskBalanceRegularizer)
