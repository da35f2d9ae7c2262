import numpy as np
import pytest
from hypothesis import given
from support import oracle
from support.backends import assert_close, evaluate
from support.cases import DRAWN, EDGES, problem, problems
from support.layer_contract import (
    assert_config_round_trip,
    assert_runs_everywhere,
    assert_saves,
    assert_shapes,
)

from keras_smes import PrivateExpertGate


def routing_of(case):
    """What a router hands to the gate, from the oracle."""
    route = case.route()
    return {
        "logits": route.logits.astype(np.float32),
        "probabilities": route.probabilities.astype(np.float32),
        "shared": route.shared,
        "shared_experts": oracle.executed(route.shared, case.sizes.num_shared).astype(np.int32),
    }


def gate_of(case, **kwargs):
    return PrivateExpertGate(case.sizes.num_private, **kwargs)


@DRAWN
@given(problems())
def test_equals_the_oracle(case):
    found, expected = evaluate(gate_of(case), routing_of(case)), case.route()
    np.testing.assert_array_equal(found["chosen"], expected.chosen)
    np.testing.assert_array_equal(found["union"], expected.union)
    np.testing.assert_array_equal(found["executed"], oracle.executed(expected.union, case.sizes.bound))
    assert_close(found["weights"], expected.weights)
    private = [
        [set(experts) - {case.sizes.num_experts} for experts in row] for row in found["private_experts"]
    ]
    only = expected.chosen & ~expected.shared[:, None]
    assert private == [[set(np.flatnonzero(task)) for task in row] for row in only]
    for b, (row, experts) in enumerate(zip(found["slot_weights"], found["executed"], strict=True)):
        used = experts < case.sizes.num_experts
        assert_close(row[:, used], expected.weights[b][:, experts[used]])
        assert (row[:, ~used] == 0).all()


def test_passes_the_routers_entries_on():
    case = problem(EDGES["usual"])
    routing = routing_of(case)
    found = evaluate(gate_of(case), routing)
    assert set(found) == {
        *routing,
        "private_experts",
        "executed",
        "slot_weights",
        "chosen",
        "union",
        "weights",
    }
    for name, array in routing.items():
        np.testing.assert_array_equal(found[name], array)


def test_equal_logits_pick_the_lowest_experts_that_are_not_shared():
    shared = np.array([[False, True, False, True, False, False]])
    zeros = np.zeros((1, 2, 6), np.float32)
    routing = {"logits": zeros, "probabilities": zeros + 1 / 6, "shared": shared}
    routing["shared_experts"] = np.array([[1, 3]], np.int32)
    found = evaluate(PrivateExpertGate([1, 3]), routing)
    assert [np.flatnonzero(chosen).tolist() for chosen in found["chosen"][0]] == [[0, 1, 3], [0, 1, 2, 3, 4]]
    assert_close(found["weights"][0, 0], np.array([1, 1, 0, 1, 0, 0]) / 3)
    assert found["executed"].tolist() == [[0, 1, 2, 3, 4, 6]]


@pytest.mark.parametrize("edge", EDGES)
def test_shapes(edge):
    case = problem(EDGES[edge])
    assert_shapes(gate_of(case), (routing_of(case),))


@pytest.mark.parametrize("edge", ["usual", "no shared", "privates of tasks"])
def test_runs_everywhere(edge):
    case = problem(EDGES[edge])
    assert_runs_everywhere(gate_of(case), (routing_of(case),))


def test_saves(tmp_path):
    case = problem(EDGES["privates of tasks"])
    assert_saves(gate_of(case), (routing_of(case),), tmp_path)


@pytest.mark.parametrize("num_private", [2, [0, 3, 1]])
def test_config_round_trip(num_private):
    assert_config_round_trip(PrivateExpertGate, {"num_private": num_private})


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_gates_in_float32_under_any_policy(policy):
    case = problem(EDGES["usual"])
    found, expected = (evaluate(gate_of(case, dtype=p), routing_of(case)) for p in (policy, "float32"))
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize(
    "value", [-1, True, 1.0, "1", None, [], [1, -1, 0], [1, True, 0], [1.0, 1, 1]], ids=repr
)
def test_refuses(value):
    with pytest.raises(ValueError, match="`num_private`") as refusal:
        PrivateExpertGate(value)
    assert f"num_private={value!r}" in str(refusal.value)


@pytest.mark.parametrize(
    ("num_private", "message"),
    [
        (7, r"at most `num_experts`.*num_experts=8, num_shared=2, num_private=\[7, 7, 7\]"),
        ([1, 7, 1], r"at most `num_experts`.*num_private=\[1, 7, 1\]"),
        ([1, 1], r"`num_private` must have one entry per task, 3.*num_private=\[1, 1\]"),
    ],
)
def test_refuses_what_the_router_can_not_satisfy(num_private, message):
    with pytest.raises(ValueError, match=message):
        PrivateExpertGate(num_private)(routing_of(problem(EDGES["usual"])))


def test_refuses_a_task_without_experts():
    with pytest.raises(ValueError, match=r"Every task needs an expert.*num_private=\[1, 0, 2\]"):
        PrivateExpertGate([1, 0, 2])(routing_of(problem(EDGES["no shared"])))
