import keras
import numpy as np
import pytest
from support import oracle, ways
from support.backends import TENSORFLOW, assert_close, evaluate, to_tensors
from support.cases import EDGES, problem
from support.layer_contract import (
    assert_config_round_trip,
    assert_runs_everywhere,
    assert_saves,
    assert_shapes,
    functional,
)

from keras_smes import ExpertPool

CASE = problem(EDGES["usual"])


def routing_of(case):
    """What the pool reads of a routing, from the oracle."""
    route = case.route()
    return {
        "weights": route.weights.astype(np.float32),
        "union": route.union,
        "executed": oracle.executed(route.union, case.sizes.bound).astype(np.int32),
    }


def inputs_of(case):
    return case.h, routing_of(case)


def pool_of(case, **kwargs):
    layer = ExpertPool(case.sizes.num_experts, case.sizes.units, kernel_initializer="zeros", **kwargs)
    layer.build((None, case.sizes.width))
    for variable, value in zip(layer.kernels, case.kernels, strict=True):
        variable.assign(value)
    for variable, value in zip(layer.biases, case.biases, strict=True):
        variable.assign(value)
    return layer


@pytest.mark.parametrize("way", ways.here())
@pytest.mark.parametrize("edge", ["usual", "one task", "every expert", "no instance"])
def test_equals_the_oracle(edge, way):
    case = problem(EDGES[edge])
    assert_close(evaluate(pool_of(case, execution=way), *inputs_of(case)), case.forward())


@pytest.mark.parametrize("way", ways.here())
@pytest.mark.parametrize("normalize", [False, True])
def test_activations_and_normalisation(way, normalize):
    layer = pool_of(CASE, activation="tanh", output_activation="relu", normalize=normalize, execution=way)
    mlp = {"activation": np.tanh, "output_activation": oracle.relu, "normalize": normalize}
    assert_close(evaluate(layer, *inputs_of(CASE)), CASE.forward(**mlp))


def test_a_normalised_expert_that_says_nothing_stays_finite():
    """`y / sqrt(mean(y^2) + 1e-6)` at zero: the small number is there for this."""
    layer = pool_of(CASE, normalize=True, output_activation="relu")
    for bias in layer.biases:
        bias.assign(np.full(bias.shape, -100.0))
    assert (evaluate(layer, *inputs_of(CASE)) == 0).all()


def test_weights_are_stacked():
    layer = ExpertPool(5, (4, 3))
    layer.build((None, 6))
    assert [tuple(kernel.shape) for kernel in layer.kernels] == [(5, 6, 4), (5, 4, 3)]
    assert [tuple(bias.shape) for bias in layer.biases] == [(5, 4), (5, 3)]
    assert len(layer.trainable_variables) == 4


def test_units_may_be_one_number():
    layer = ExpertPool(5, 3)
    assert layer.units == [3]
    layer.build((None, 6))
    assert [tuple(kernel.shape) for kernel in layer.kernels] == [(5, 6, 3)]


@pytest.mark.parametrize("edge", EDGES)
def test_shapes(edge):
    case = problem(EDGES[edge])
    assert_shapes(pool_of(case), inputs_of(case))


@pytest.mark.parametrize("way", [*ways.here(), "auto"])
def test_runs_everywhere(way):
    xla = way == "auto" or way in ways.here(xla=True)
    assert_runs_everywhere(pool_of(CASE, execution=way), inputs_of(CASE), xla=xla)


@pytest.mark.parametrize("way", ways.here())
def test_saves(way, tmp_path):
    assert_saves(pool_of(CASE, execution=way, normalize=True), inputs_of(CASE), tmp_path)


def test_config_round_trip():
    assert_config_round_trip(
        ExpertPool,
        {
            "num_experts": 7,
            "units": [4, 3],
            "activation": "gelu",
            "output_activation": "tanh",
            "normalize": True,
            "execution": "dense",
            "kernel_initializer": keras.initializers.HeUniform(seed=5),
            "bias_initializer": keras.initializers.Constant(0.5),
            "kernel_regularizer": keras.regularizers.L1(0.5),
        },
    )


@pytest.mark.parametrize("way", ways.here())
@pytest.mark.parametrize(
    ("policy", "dtype", "tolerance"),
    [
        ("mixed_bfloat16", "bfloat16", 0.02),
        ("mixed_float16", "float16", 0.003),
        ("float64", "float64", 1e-6),
    ],
)
def test_computes_in_the_dtype_of_the_policy(way, policy, dtype, tolerance):
    if policy == "float64" and not TENSORFLOW:
        pytest.skip("JAX has float64 only where jax_enable_x64 is set")
    layer = pool_of(CASE, execution=way, dtype=policy)
    outputs = evaluate(layer, *inputs_of(CASE))
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype
    assert_close(outputs.astype(np.float64), CASE.forward(), tolerance)
    expected = "float64" if policy == "float64" else "float32"
    assert {keras.backend.standardize_dtype(v.dtype) for v in layer.trainable_variables} == {expected}


def test_the_regularizer_is_that_of_the_kernels():
    layer = pool_of(CASE, kernel_regularizer=keras.regularizers.L2(0.5))
    expected = 0.5 * sum(np.sum(kernel.astype(float) ** 2) for kernel in CASE.kernels)
    assert_close(sum(float(loss) for loss in layer.losses), expected)


@pytest.mark.parametrize("way", ways.here())
def test_experts_that_nobody_chose_do_not_learn(way):
    # Two rows and four picks of eight experts: most rest.
    case = problem(EDGES["usual"]._replace(batch=2, num_experts=16))
    model = functional(pool_of(case, execution=way), inputs_of(case))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.train_on_batch(list(inputs_of(case)), np.zeros((2, 3, 3), np.float32))
    used = case.route().union.any(axis=0)
    assert 0 < used.sum() < 16
    # The last bias: a first kernel also rests where all of an expert's hidden units do.
    bias = keras.ops.convert_to_numpy(model.layers[-1].biases[-1])
    moved = (bias != case.biases[-1]).any(axis=1)
    np.testing.assert_array_equal(moved, used)


@pytest.mark.parametrize("value", [0, -1, True, 2.0, "8", None], ids=repr)
def test_refuses_num_experts(value):
    with pytest.raises(ValueError, match="`num_experts`") as refusal:
        ExpertPool(value, 3)
    assert f"num_experts={value!r}" in str(refusal.value)


@pytest.mark.parametrize("value", [[], [0], [8, -1], [8, True], [8, 2.5], [8, None]], ids=repr)
def test_refuses_units(value):
    with pytest.raises(ValueError, match="`units`") as refusal:
        ExpertPool(4, value)
    assert f"units={value!r}" in str(refusal.value)


@pytest.mark.parametrize("value", [0, -8, True, 8.0, None, "8"], ids=repr)
def test_refuses_a_unit(value):
    with pytest.raises(ValueError, match="`units`") as refusal:
        ExpertPool(4, value)
    assert repr(value) in str(refusal.value)


@pytest.mark.parametrize("value", ["fast", "", None, 3, "Dense"], ids=repr)
def test_refuses_an_unknown_execution(value):
    with pytest.raises(ValueError, match=r"`execution` must be one of .*'dense'") as refusal:
        ExpertPool(4, 3, execution=value)
    assert f"execution={value!r}" in str(refusal.value)


@pytest.mark.parametrize("shape", [(7, 6, 1), (7,)])
def test_refuses_inputs_of_another_rank(shape):
    with pytest.raises(ValueError, match=r"`inputs` must have shape \[batch, width\]"):
        ExpertPool(8, 3)(*to_tensors((np.ones(shape, np.float32), routing_of(CASE))))


def test_refuses_a_routing_over_other_experts():
    with pytest.raises(ValueError, match=r"num_experts=9.*\(7, 8\)"):
        ExpertPool(9, 3)(*to_tensors(inputs_of(CASE)))
