"""The whole layer as a layer of Keras: shapes, saving, configuration, dtype policies; experts always on."""

import keras
import numpy as np
import pytest
from keras import ops
from support import ways
from support.backends import TENSORFLOW, assert_close, evaluate, evaluator, to_numpy, to_tensors
from support.cases import EDGES, WIDE, problem
from support.layer_contract import (
    assert_config_round_trip,
    assert_runs_everywhere,
    assert_saves,
    assert_shapes,
)

from keras_smes import SMES

every_way = pytest.mark.parametrize("way", ways.here())
every_edge = pytest.mark.parametrize("edge", EDGES)


# --- as a layer of Keras


def test_weights_and_routing_are_where_the_documentation_says():
    layer = problem(EDGES["usual"]).layer()
    assert tuple(layer.router.kernel.shape) == (6, 3, 8)
    assert [tuple(kernel.shape) for kernel in layer.experts.kernels] == [(8, 6, 5), (8, 5, 3)]
    assert [tuple(bias.shape) for bias in layer.experts.biases] == [(8, 5), (8, 3)]
    assert len(layer.trainable_variables) == 5
    assert len({variable.path for variable in layer.trainable_variables}) == 5
    routing = evaluate(layer.route, np.ones((4, 6), np.float32))
    shapes = {name: (array.shape, array.dtype.name) for name, array in routing.items()}
    assert shapes["probabilities"] == shapes["weights"] == shapes["logits"] == ((4, 3, 8), "float32")
    assert shapes["chosen"] == ((4, 3, 8), "bool")
    assert shapes["shared"] == shapes["union"] == ((4, 8), "bool")
    assert (shapes["shared_experts"], shapes["executed"]) == (((4, 2), "int32"), ((4, 5), "int32"))


@every_edge
def test_shapes(edge):
    case = problem(EDGES[edge])
    assert_shapes(case.layer(), (case.h,))


@pytest.mark.parametrize("way", [*ways.here(), "auto"])
def test_runs_everywhere(way):
    case = problem(WIDE)
    xla = way == "auto" or way in ways.here(xla=True)
    assert_runs_everywhere(case.layer(execution=way), (case.h,), xla=xla)


@every_way
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_saves(way, policy, tmp_path):
    case = problem(EDGES["privates of tasks"], task_weights=[2.0, 0.0, 1.0])
    layer = case.layer(execution=way, normalize_experts=True, output_activation="tanh", dtype=policy)
    assert_saves(layer, (case.h,), tmp_path)


@pytest.mark.parametrize(("num_private", "units"), [(2, [4, 3]), ([0, 3, 1], [6])])
def test_config_round_trip(num_private, units):
    assert_config_round_trip(
        SMES,
        {
            "num_tasks": 3,
            "num_experts": 7,
            "num_shared": 2,
            "num_private": num_private,
            "expert_units": units,
            "expert_activation": "gelu",
            "output_activation": "tanh",
            "normalize_experts": True,
            "balance_weight": 0.125,
            "task_weights": [1.0, 0.0, 2.5],
            "execution": "dense",
            "router_initializer": keras.initializers.HeNormal(seed=3),
            "kernel_initializer": keras.initializers.HeUniform(seed=5),
            "bias_initializer": keras.initializers.Constant(0.5),
            "router_rank": 4,
            "num_always": 2,
        },
    )


@every_way
@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_bfloat16", 0.02), ("mixed_float16", 0.003)])
def test_mixed_precision_rounds_experts_and_not_routing(way, policy, tolerance):
    """Routing is that of a float32 layer on the same h, also where h itself comes in low precision."""
    case, dtype = problem(WIDE), policy.removeprefix("mixed_")
    layer, plain = case.layer(execution=way, dtype=policy), evaluator(case.layer().route)
    both = evaluator(lambda h: (layer.route(h), layer(h)))
    for h in (to_tensors(case.h), ops.cast(case.h, dtype)):
        expected = plain(ops.cast(h, "float32"))
        routing, outputs = both(h)
        for name, array in routing.items():
            assert array.dtype == expected[name].dtype
            np.testing.assert_array_equal(array, expected[name], err_msg=name)
        assert keras.backend.standardize_dtype(outputs.dtype) == dtype
        rounded = to_numpy(ops.cast(h, "float32"))
        assert_close(outputs.astype(np.float32), case.forward(rounded), tolerance)


@pytest.mark.skipif(not TENSORFLOW, reason="JAX has float64 only where jax_enable_x64 is set")
@every_way
def test_float64_experts_with_float32_routers(way):
    case = problem(EDGES["usual"])
    layer = case.layer(execution=way, dtype="float64")
    outputs = evaluate(layer, case.h.astype(np.float64))
    assert outputs.dtype == np.float64
    assert_close(outputs, case.forward(), 1e-6)
    routing = evaluate(layer.route, case.h.astype(np.float64))
    assert routing["logits"].dtype == routing["weights"].dtype == np.float32


# --- experts that are always on


def test_an_expert_that_is_always_on_by_hand():
    # The pool's only expert has gate 1: 2 h. Two that are always on: 3 h + 1 and -h. Together 4 h + 1.
    layer = SMES(2, 1, 1, 0, (1,), num_always=2)
    layer.build((None, 1))
    layer.experts.kernels[0].assign([[[2.0]]])
    layer.always.kernels[0].assign([[[3.0]], [[-1.0]]])
    layer.always.biases[0].assign([[1.0], [0.0]])
    found = evaluate(layer, np.array([[1.0], [-5.0]], np.float32))
    np.testing.assert_allclose(found, [[[5.0], [5.0]], [[-19.0], [-19.0]]], rtol=1e-6)


def always_on(case, **kwargs):
    """The case's layer with two experts that are always on, and what they put out together, by NumPy."""
    layer, rng = case.layer(num_always=2, **kwargs), np.random.default_rng(4)
    weights = [rng.normal(size=w.shape).astype(np.float32) for w in layer.always.weights]
    layer.always.set_weights(weights)
    total_bo = 0.0
    for expert in range(2):
        rows_bi = case.h.astype(np.float64)
        for place in range(0, len(weights), 2):
            rows_bi = rows_bi @ weights[place][expert] + weights[place + 1][expert]
            rows_bi = np.maximum(rows_bi, 0) if place + 2 < len(weights) else rows_bi
        total_bo = total_bo + rows_bi
    return layer, total_bo


@every_way
def test_experts_that_are_always_on_are_added_to_the_mixture(way):
    case = problem(WIDE)
    layer, total_bo = always_on(case, execution=way)
    mixed_bto = evaluate(case.layer(execution=way), case.h)
    assert_close(evaluate(layer, case.h), mixed_bto + total_bo[:, None])


def test_experts_that_are_always_on_run_everywhere_and_save(tmp_path):
    case = problem(WIDE)
    layer, _ = always_on(case)
    assert_shapes(layer, (case.h,))
    assert_runs_everywhere(layer, (case.h,))
    assert_saves(layer, (case.h,), tmp_path)


def test_no_two_experts_are_alike_whether_chosen_or_always_on():
    layer = SMES(
        2, 3, 1, 1, (4, 4), num_always=2, kernel_initializer=keras.initializers.GlorotUniform(seed=1)
    )
    layer.build((None, 4))
    kernels = [np.array(kernel) for pool in (layer.experts, layer.always) for kernel in pool.kernels]
    assert len({own.tobytes() for stack in kernels for own in stack}) == 2 * (3 + 2)
