import keras
import numpy as np
import pytest
from hypothesis import given
from support import oracle
from support.backends import assert_close, evaluate, evaluator
from support.cases import DRAWN, EDGES, problem, problems
from support.layer_contract import (
    assert_config_round_trip,
    assert_runs_everywhere,
    assert_saves,
    assert_shapes,
)

from keras_smes import SharedSubsetRouter


def router_of(case, **kwargs):
    size = case.sizes
    layer = SharedSubsetRouter(
        size.num_tasks, size.num_experts, size.num_shared, case.task_weights, "zeros", **kwargs
    )
    layer.build((None, size.width))
    layer.kernel.assign(case.router)
    return layer


@DRAWN
@given(problems())
def test_equals_the_oracle(case):
    found, expected = evaluate(router_of(case), case.h), case.route()
    assert_close(found["logits"], expected.logits)
    assert_close(found["probabilities"], expected.probabilities)
    np.testing.assert_array_equal(found["shared"], expected.shared)
    lists = oracle.executed(expected.shared, case.sizes.num_shared)
    np.testing.assert_array_equal(found["shared_experts"], lists)


def test_equal_logits_share_the_lowest_experts():
    case = problem(EDGES["usual"])
    case = case._replace(router=np.zeros_like(case.router))
    shared = evaluate(router_of(case), case.h)["shared"]
    np.testing.assert_array_equal(shared, np.tile(np.arange(8) < 2, (7, 1)))


def test_of_two_equal_experts_the_lower_is_shared():
    """Small whole numbers: exact in float32 in any order of summation, so the ties are real."""
    case, rng = problem(EDGES["usual"]), np.random.default_rng(1)
    router = rng.integers(-2, 3, case.router.shape).astype(np.float32)
    router[:, :, [1, 4, 6]] = router[:, :, [0, 0, 2]]
    case = case._replace(router=router, h=rng.integers(-2, 3, case.h.shape).astype(np.float32))
    np.testing.assert_array_equal(evaluate(router_of(case), case.h)["shared"], case.route().shared)


def test_task_weights_by_hand():
    # Two tasks, three experts, h = [1], so z is the router itself. With logits ln p:
    #   task 0: p = [0.6, 0.3, 0.1]; task 1: p = [0.1, 0.2, 0.7]
    # equal weights:  [0.35, 0.25, 0.4]  -> expert 2
    # weights 3 to 1: [0.475, 0.275, 0.25] -> expert 0
    # weights 0 to 1: [0.1, 0.2, 0.7]    -> expert 2
    router = np.log([[[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]]]).astype(np.float32)
    for weights, best in [(None, 2), ([3, 1], 0), ([0.75, 0.25], 0), ([0, 1], 2), ([1, 0], 0)]:
        layer = SharedSubsetRouter(2, 3, 1, task_weights=weights)
        layer.build((None, 1))
        layer.kernel.assign(router)
        assert evaluate(layer, np.ones((1, 1), np.float32))["shared_experts"].tolist() == [[best]]


@pytest.mark.parametrize("edge", EDGES)
def test_shapes(edge):
    case = problem(EDGES[edge])
    assert_shapes(router_of(case), (case.h,))


def test_runs_everywhere():
    case = problem(EDGES["usual"])
    assert_runs_everywhere(router_of(case), (case.h,))


def test_saves(tmp_path):
    case = problem(EDGES["usual"], task_weights=[1.0, 0.0, 2.0])
    assert_saves(router_of(case), (case.h,), tmp_path)


def test_config_round_trip():
    assert_config_round_trip(
        SharedSubsetRouter,
        {
            "num_tasks": 3,
            "num_experts": 7,
            "num_shared": 2,
            "task_weights": [1.0, 0.0, 2.5],
            "kernel_initializer": keras.initializers.HeNormal(seed=3),
            "kernel_regularizer": keras.regularizers.L2(0.25),
            "rank": 4,
        },
    )


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16", "float64"])
def test_routes_in_float32_under_any_policy(policy):
    case = problem(EDGES["usual"])
    layer = router_of(case, dtype=policy)
    assert keras.backend.standardize_dtype(layer.kernel.dtype) == "float32"
    routed, plain = evaluator(layer), evaluator(router_of(case))
    low = "float16" if policy == "mixed_float16" else "bfloat16"
    for dtype in ("float32", low):
        h = keras.ops.cast(case.h, dtype)
        found, expected = routed(h), plain(keras.ops.cast(h, "float32"))
        for name, array in expected.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_the_regularizer_is_that_of_the_kernel():
    case = problem(EDGES["usual"])
    layer = router_of(case, kernel_regularizer=keras.regularizers.L2(0.5))
    assert_close(sum(layer.losses), 0.5 * np.sum(case.router.astype(float) ** 2))


def low_rank(case, rank=2):
    """A router of the case's sizes with a projection, and the case whose full router is their product."""
    size, rng = case.sizes, np.random.default_rng(3)
    layer = SharedSubsetRouter(size.num_tasks, size.num_experts, size.num_shared, rank=rank)
    layer.build((None, size.width))
    projection = rng.normal(size=(size.width, rank)).astype(np.float32)
    kernel = rng.normal(size=(rank, size.num_tasks, size.num_experts)).astype(np.float32)
    layer.projection.assign(projection)
    layer.kernel.assign(kernel)
    return layer, case._replace(router=np.einsum("dr,rte->dte", projection, kernel))


def test_a_low_rank_by_hand():
    # h = [1, 2] is projected to 1*3 + 2*(-1) = 1; the tasks' kernels are [0, ln 3] and [ln 2, 0].
    layer = SharedSubsetRouter(2, 2, 1, rank=1)
    layer.build((None, 2))
    layer.projection.assign([[3.0], [-1.0]])
    layer.kernel.assign(np.log([[[1.0, 3.0], [2.0, 1.0]]]))
    found = evaluate(layer, np.array([[1.0, 2.0]], np.float32))
    assert_close(found["probabilities"], [[[1 / 4, 3 / 4], [2 / 3, 1 / 3]]])
    assert found["shared_experts"].tolist() == [[1]]  # 3/4 + 1/3 is more than 1/4 + 2/3


def test_a_low_rank_equals_the_oracle_of_the_product():
    layer, case = low_rank(problem(EDGES["usual"]))
    found, expected = evaluate(layer, case.h), case.route()
    assert_close(found["logits"], expected.logits)
    np.testing.assert_array_equal(found["shared"], expected.shared)


def test_a_low_rank_runs_everywhere_and_saves(tmp_path):
    layer, case = low_rank(problem(EDGES["usual"]))
    assert_runs_everywhere(layer, (case.h,))
    assert_saves(layer, (case.h,), tmp_path)


def test_a_low_rank_is_drawn_as_a_layer_of_its_own():
    layer = SharedSubsetRouter(3, 40, 2, rank=50, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    layer.build((None, 300))
    assert np.abs(np.array(layer.projection)).max() == pytest.approx((6 / 350) ** 0.5, rel=0.01)
    for task in range(3):
        assert np.abs(np.array(layer.kernel)[:, task]).max() == pytest.approx((6 / 90) ** 0.5, rel=0.01)
    assert [weight.dtype for weight in layer.weights] == ["float32", "float32"]


GOOD = {"num_tasks": 3, "num_experts": 6, "num_shared": 2}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("num_tasks", "num_experts") for value in (0, -1, True, 2.0, "2", None)],
        *[("num_shared", value) for value in (-1, True, 2.0, None, 7)],
        *[("rank", value) for value in (0, -1, True, 2.0)],
        *[("task_weights", value) for value in ([1, 1], [1, 1, 1, 1], [0, 0, 0])],
    ],
)
def test_refuses(name, value):
    shown = [float(entry) for entry in value] if isinstance(value, list) else value
    with pytest.raises(ValueError, match=f"`{name}`") as refusal:
        SharedSubsetRouter(**{**GOOD, name: value})
    assert f"{name}={shown!r}" in str(refusal.value)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), True, "1"])
def test_refuses_a_task_weight(weight):
    with pytest.raises(ValueError, match=r"`task_weights`.*task_weights=") as refusal:
        SharedSubsetRouter(**GOOD, task_weights=[1, weight, 1])
    assert repr(weight) in str(refusal.value)


@pytest.mark.parametrize("shape", [(4, 5, 6), (4,)])
def test_refuses_inputs_of_another_rank(shape):
    with pytest.raises(ValueError, match=r"`inputs` must have shape \[batch, width\]"):
        SharedSubsetRouter(**GOOD)(np.ones(shape, np.float32))
