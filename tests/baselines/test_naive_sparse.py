"""Naive sparse MoE: the oracle's routing with no shared expert, each expert once, balanced by task."""

import numpy as np
import pytest
from support import oracle, ways
from support.backends import assert_close, evaluate, to_numpy, to_tensors

from keras_smes.baselines import NaiveSparse, TaskBalanceRegularizer

H = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")


def layer_of(num_picks=2, **kwargs):
    layer = NaiveSparse(3, 9, num_picks, (5, 4), **kwargs)
    layer.build((None, 6))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    return layer


def route_of(layer, num_picks=2):
    return oracle.route(H, to_numpy(layer.router.kernel), 0, num_picks)


@pytest.mark.parametrize("way", ways.here())
@pytest.mark.parametrize("num_picks", [1, 2, [1, 3, 2], 9])
def test_equals_the_oracle(num_picks, way):
    layer = layer_of(num_picks, execution=way)
    route = route_of(layer, num_picks)
    kernels, biases = to_numpy(layer.experts.kernels), to_numpy(layer.experts.biases)
    expected = oracle.forward(H, route.chosen, route.weights, kernels, biases)
    assert_close(evaluate(layer, H), expected)


def test_tasks_pick_for_themselves_and_the_union_is_executed():
    layer = layer_of()
    routing = evaluate(layer.route, H)
    np.testing.assert_array_equal(routing["chosen"], route_of(layer).chosen)
    assert not routing["shared"].any()
    assert routing["executed"].shape == (8, 6), "min(E, T * K) at most"
    np.testing.assert_array_equal(routing["executed"], oracle.executed(routing["chosen"].any(axis=1), 6))


def test_each_router_is_balanced_by_itself():
    layer = layer_of(balance_weight=0.5)
    layer(to_tensors(H), training=True)
    route = route_of(layer)
    tasks = [slice(t, t + 1) for t in range(3)]
    alone = [oracle.balance_loss(route.probabilities[:, t], route.chosen[:, t]) for t in tasks]
    assert_close(to_numpy(layer.losses), [0.5 * np.mean(alone)])
    assert isinstance(layer.balance, TaskBalanceRegularizer)


@pytest.mark.parametrize(
    "value", [0, -1, True, 1.5, "2", None, 10, [1, 2], [1, 2, 10], [1, 2, 0], []], ids=repr
)
def test_refuses_picks(value):
    with pytest.raises(ValueError, match="`num_picks`") as refusal:
        NaiveSparse(3, 9, value, 4)
    assert f"num_picks={value!r}" in str(refusal.value)


@pytest.mark.parametrize("name", ["num_tasks", "num_experts"])
def test_refuses(name):
    with pytest.raises(ValueError, match=f"`{name}`.*{name}=0"):
        NaiveSparse(**{"num_tasks": 3, "num_experts": 9, "num_picks": 2, "expert_units": 4, name: 0})
