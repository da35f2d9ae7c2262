"""The whole layer against the oracle: invariants, three special cases, gradients, Keras."""

import keras
import numpy as np
import pytest
from hypothesis import given
from keras import ops
from support import oracle, ways
from support.backends import TENSORFLOW, assert_close, evaluate, evaluator, gradients, to_numpy, to_tensors
from support.cases import DRAWN, EDGES, Sizes, problem, problems, seeds
from support.layer_contract import (
    assert_config_round_trip,
    assert_runs_everywhere,
    assert_saves,
    assert_shapes,
    functional,
)

from keras_smes import SMES

every_way = pytest.mark.parametrize("way", ways.here())
every_edge = pytest.mark.parametrize("edge", EDGES)

# Many experts for few picks: where `auto` is sparse.
WIDE = Sizes(12, 6, 3, 24, 2, 1)


def outputs_of(case, h=None, way="dense", **kwargs):
    return evaluate(case.layer(execution=way, **kwargs), case.h if h is None else h)


def route_of(case, h=None, **kwargs):
    return evaluate(case.layer(**kwargs).route, case.h if h is None else h)


# --- the oracle and the invariants


@every_way
@DRAWN
@given(problems())
def test_equals_the_oracle(way, case):
    assert_close(outputs_of(case, way=way), case.forward())


@every_way
@every_edge
def test_equals_the_oracle_at_the_edges(edge, way):
    case = problem(EDGES[edge])
    assert_close(outputs_of(case, way=way), case.forward())


@DRAWN
@given(problems())
def test_routing_equals_the_oracle(case):
    found, expected = route_of(case), case.route()
    assert_close(found["probabilities"], expected.probabilities)
    assert_close(found["weights"], expected.weights)
    np.testing.assert_array_equal(found["shared"], expected.shared)
    np.testing.assert_array_equal(found["union"], expected.union)


@DRAWN
@given(problems())
def test_the_invariants_hold(case):
    size, routing = case.sizes, route_of(case)
    shared, chosen, weights, union = (routing[name] for name in ("shared", "chosen", "weights", "union"))
    private = chosen & ~shared[:, None]
    assert (shared.sum(axis=1) == size.num_shared).all()
    assert (private.sum(axis=2) == size.privates).all()
    assert (chosen | ~shared[:, None]).all(), "every task has the shared experts"
    assert (chosen.sum(axis=2) == size.num_shared + np.array(size.privates)).all()
    assert (weights >= 0).all()
    assert (weights[~chosen] == 0).all()
    assert_close(weights.sum(axis=2), np.ones(weights.shape[:2]), 1e-6)
    np.testing.assert_array_equal(union, chosen.any(axis=1))
    assert (union.sum(axis=1) <= size.bound).all()
    np.testing.assert_array_equal(routing["executed"], oracle.executed(union, size.bound))


@DRAWN
@given(problems(), seeds)
def test_ties_go_to_the_lower_expert(case, seed):
    """Small whole numbers and equal columns: logits are exact in float32, and tie."""
    rng, num_experts = np.random.default_rng(seed), case.sizes.num_experts
    router = rng.integers(-1, 2, case.router.shape).astype(np.float32)
    twins = rng.integers(0, num_experts, num_experts)
    h = rng.integers(-2, 3, case.h.shape).astype(np.float32)
    # One task: with more, sums of different probabilities can be equal on paper and not in float32.
    size = case.sizes._replace(num_tasks=1, num_private=case.sizes.privates[0])
    case = case._replace(sizes=size, router=router[:, :1, twins], h=h, task_weights=None)
    np.testing.assert_array_equal(route_of(case)["chosen"], case.route().chosen)


@every_way
def test_equal_routers_send_all_instances_to_the_lowest_experts(way):
    case = problem(EDGES["usual"])
    case = case._replace(router=np.zeros_like(case.router))
    union = route_of(case)["union"]
    np.testing.assert_array_equal(union, np.tile(np.arange(8) < 3, (7, 1)))
    assert_close(outputs_of(case, way=way), case.forward())


def test_task_weights_steer_the_joint_choice():
    # Two tasks, three experts, h = [1]. Task 0: p = [0.6, 0.3, 0.1]; task 1: p = [0.1, 0.2, 0.7].
    # Equal: s = [0.35, 0.25, 0.4], so expert 2. Weights 3 to 1: s = [0.475, 0.275, 0.25], so expert 0.
    router = np.log([[[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]]]).astype(np.float32)
    for weights, best in [(None, 2), ([3, 1], 0)]:
        case = problem(Sizes(1, 1, 2, 3, 1, 0), task_weights=weights)._replace(router=router)
        routing = route_of(case, np.ones((1, 1), np.float32))
        assert routing["executed"].tolist() == [[best]]


# --- the three reductions, each by a reference of its own


def best_of(scores, k):
    mask = np.zeros(scores.shape, bool)
    np.put_along_axis(mask, np.argsort(-scores, axis=-1, kind="stable")[..., :k], True, axis=-1)
    return mask


def masked_softmax(logits, mask):
    exponents = np.where(mask, np.exp(logits), 0)
    return exponents / exponents.sum(axis=-1, keepdims=True)


def mixture(case, weights):
    """All experts on all instances, mixed by `weights`: matrix products, no loops."""
    rows = case.h.astype(np.float64)[None]
    for layer, (kernel, bias) in enumerate(zip(case.kernels, case.biases, strict=True)):
        rows = rows @ kernel.astype(np.float64) + bias[:, None]
        rows = np.maximum(rows, 0) if layer < len(case.kernels) - 1 else rows
    return np.einsum("bte,ebo->bto", weights, rows)


def logits_of(case):
    return np.einsum("bd,dte->bte", case.h.astype(np.float64), case.router)


@every_way
@pytest.mark.parametrize("num_shared", [1, 3, 8])
def test_without_private_experts_it_is_one_shared_top_k(way, num_shared):
    case = problem(EDGES["usual"]._replace(num_shared=num_shared, num_private=0))
    logits = logits_of(case)
    score = masked_softmax(logits, True).mean(axis=1)
    mask = np.repeat(best_of(score, num_shared)[:, None], 3, axis=1)
    assert_close(outputs_of(case, way=way), mixture(case, masked_softmax(logits, mask)))
    np.testing.assert_array_equal(route_of(case)["union"], mask[:, 0])


@every_way
@pytest.mark.parametrize("num_private", [1, 3, 8])
def test_without_shared_experts_it_is_a_top_k_for_each_task(way, num_private):
    case = problem(EDGES["usual"]._replace(num_shared=0, num_private=num_private))
    logits = logits_of(case)
    weights = masked_softmax(logits, best_of(logits, num_private))
    assert_close(outputs_of(case, way=way), mixture(case, weights))


@every_way
def test_with_all_experts_shared_it_is_dense_mmoe(way):
    case = problem(EDGES["usual"]._replace(num_shared=8, num_private=0))
    assert_close(outputs_of(case, way=way), mixture(case, masked_softmax(logits_of(case), True)))


# --- no instance depends on others


@every_way
@pytest.mark.parametrize("size", [WIDE, Sizes(40, 33, 4, 16, 2, 1, (65, 31))], ids=["small", "odd"])
def test_an_output_does_not_depend_on_the_batch(way, size):
    """Within 1e-6, and not bit for bit.

    Matrix products round differently with the number of rows: a product of one row is another routine
    than one of many, and longer sums are cut into pieces by size. At these sizes `grouped` was
    bit-equal with oneDNN and within 6e-7 without; at width 512, 6e-7 with and 6e-6 without.
    """
    case = problem(size)
    outputs = evaluator(case.layer(execution=way))
    together = outputs(case.h)
    order = np.random.default_rng(1).permutation(size.batch)
    assert_close(outputs(case.h[order]), together[order], 1e-6)
    assert_close(outputs(case.h[::3]), together[::3], 1e-6)
    for b in (0, 5, size.batch - 1):
        assert_close(outputs(case.h[b : b + 1])[0], together[b], 1e-6)


@every_way
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
def test_a_broken_row_changes_no_other(way, value):
    """Within rounding: other experts of the broken row change how many rows an expert's product has."""
    case, others = problem(EDGES["usual"]), np.arange(7) != 2
    broken = case.h.copy()
    broken[2] = value
    outputs = evaluator(case.layer(execution=way))
    found, expected = outputs(broken), outputs(case.h)
    assert_close(found[others], expected[others], 1e-6)
    if np.isnan(value):
        assert np.isnan(found[2]).all(), "and is not passed off as a number"


def margins(case):
    """What separates a row's worst chosen expert from the best one left out: the least over its choices."""
    size = case.sizes
    logits = np.einsum("bd,dte->bte", case.h.astype(float), case.router.astype(float))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    score = probabilities.mean(axis=1)
    ordered = np.sort(score, axis=1)[:, ::-1]
    joint = ordered[:, size.num_shared - 1] - ordered[:, size.num_shared]
    left = np.where((score < ordered[:, [size.num_shared - 1]])[:, None], logits, -np.inf)
    ordered = np.sort(left, axis=2)[:, :, ::-1]
    private = ordered[:, :, size.num_private - 1] - ordered[:, :, size.num_private]
    return np.minimum(joint, private.min(axis=1))


@every_way
def test_only_near_ties_depend_on_the_batch(way):
    """Of 4,000 rows, scored at once and 200 at a time: all but near ties choose the same experts.

    Logits and scores are of the order of 1, their rounding is below 1e-6. What isn't a near tie is equal to
    rounding, whatever kernels the processor has.
    """
    case = problem(Sizes(4_000, 12, 3, 24, 2, 1, (8,)))
    layer = case.layer(execution=way)
    outputs, route = evaluator(layer), evaluator(layer.route)
    pieces = np.split(case.h, 20)
    clear = margins(case) > 1e-5
    assert clear.mean() > 0.998
    chosen = np.concatenate([route(piece)["chosen"] for piece in pieces])
    np.testing.assert_array_equal(chosen[clear], route(case.h)["chosen"][clear])
    assert_close(np.concatenate([outputs(piece) for piece in pieces])[clear], outputs(case.h)[clear], 1e-6)


# --- gradients


def layer_gradients(layer, h, cotangent, **kwargs):
    """Gradients of `sum(output * cotangent)` and of the layer's losses."""

    def total(tensors):
        outputs, _, losses = layer.stateless_call(tensors[1:], [], tensors[0], return_losses=True, **kwargs)
        return ops.sum(outputs * cotangent) + sum(losses)

    variables = layer.trainable_variables
    names = ["inputs", *(variable.path for variable in variables)]
    return dict(zip(names, gradients(total, [h, *to_numpy(variables)]), strict=True))


def cotangent_of(case, seed=9):
    size = case.sizes
    shape = (size.batch, size.num_tasks, size.units[-1])
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("way", ways.sparse())
@pytest.mark.parametrize(
    "edge", ["usual", "one task", "privates of tasks", "every expert", "no instance", "one instance"]
)
def test_gradients_equal_those_of_dense(edge, way):
    case = problem(EDGES[edge])
    found, expected = (
        list(layer_gradients(case.layer(execution=name), case.h, cotangent_of(case)).values())
        for name in (way, "dense")
    )
    for gradient, other in zip(found, expected, strict=True):
        assert_close(gradient, other)


@every_way
@pytest.mark.parametrize("normalize", [False, True])
def test_gradients_equal_finite_differences_of_the_oracle(way, normalize):
    case = problem(Sizes(3, 3, 2, 5, 1, [1, 2], (4, 2)), seed=3)
    assert case.route().margin > 1e-2, "far from a routing boundary"
    cotangent, mlp = cotangent_of(case), {"normalize": normalize}
    layer = case.layer(execution=way, normalize_experts=normalize)
    found = list(layer_gradients(layer, case.h, cotangent).values())

    def differences(array, changed):
        return oracle.finite_differences(lambda x: np.sum(changed(x).forward(**mlp) * cotangent), array)

    def swap(arrays, i, array):
        return [*arrays[:i], array, *arrays[i + 1 :]]

    expected = [
        differences(case.h, lambda x: case._replace(h=x)),
        differences(case.router, lambda x: case._replace(router=x)),
    ]
    for i in range(2):
        by_kernel = lambda x, i=i: case._replace(kernels=swap(case.kernels, i, x))  # noqa: E731
        by_bias = lambda x, i=i: case._replace(biases=swap(case.biases, i, x))  # noqa: E731
        expected += [differences(case.kernels[i], by_kernel), differences(case.biases[i], by_bias)]
    for gradient, other in zip(found, expected, strict=True):
        assert_close(gradient, other)


def test_the_balance_loss_has_the_gradient_of_the_oracle():
    """Outputs get a cotangent of zero: what reaches the router comes from the loss alone."""
    case = problem(EDGES["privates of tasks"])
    route, mask = case.route(), np.arange(8) % 3 != 0
    layer = case.layer(balance_weight=0.5)
    nothing = np.zeros_like(cotangent_of(case))
    found = layer_gradients(layer, case.h, nothing, mask=ops.convert_to_tensor(mask), training=True)
    by_logits = 0.5 * oracle.balance_gradient(route.probabilities, route.chosen, mask)
    expected = {
        "inputs": np.einsum("bte,dte->bd", by_logits, case.router),
        layer.router.kernel.path: np.einsum("bte,bd->dte", by_logits, case.h),
    }
    for name, gradient in found.items():
        assert_close(gradient, expected.get(name, np.zeros(gradient.shape)), message=name)


# --- the balance loss in the layer


def losses_of(layer, h, **kwargs):
    function = lambda x: layer.stateless_call(  # noqa: E731
        [variable.value for variable in layer.trainable_variables], [], x, return_losses=True, **kwargs
    )[2]
    return evaluate(function, h)


def test_the_balance_loss_is_added_in_training_only():
    case = problem(EDGES["usual"])
    route, mask = case.route(), np.arange(7) < 4
    layer = case.layer(balance_weight=0.25)
    assert losses_of(layer, case.h) == losses_of(layer, case.h, training=False) == []
    (loss,) = losses_of(layer, case.h, training=True)
    assert_close(loss, 0.25 * oracle.balance_loss(route.probabilities, route.chosen))
    (loss,) = losses_of(layer, case.h, training=True, mask=ops.convert_to_tensor(mask))
    assert_close(loss, 0.25 * oracle.balance_loss(route.probabilities, route.chosen, mask))
    assert losses_of(case.layer(balance_weight=0), case.h, training=True) == []


def test_a_mask_changes_no_output():
    case = problem(EDGES["usual"])
    layer, mask = case.layer(), np.arange(7) < 4
    masked = evaluate(lambda h: layer(h, mask=ops.convert_to_tensor(mask)), case.h)
    np.testing.assert_array_equal(masked, evaluate(layer, case.h))


def test_a_model_trains_on_the_loss_and_evaluates_without_it():
    case = problem(EDGES["usual"])
    route = case.route()
    model = functional(case.layer(balance_weight=0.5), (case.h,))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    data = {"x": case.h, "y": np.zeros((7, 3, 3), np.float32), "batch_size": 7, "verbose": 0}
    trained, evaluated = model.fit(**data).history["loss"][0], model.evaluate(**data)
    added = 0.5 * oracle.balance_loss(route.probabilities, route.chosen)
    assert_close(evaluated, np.mean(case.forward() ** 2))
    assert trained - evaluated == pytest.approx(added, rel=1e-5)


def test_a_mask_may_be_an_input_of_the_model():
    case = problem(EDGES["usual"])
    route, mask = case.route(), np.arange(7) < 4
    h, rows = keras.Input((6,)), keras.Input((), dtype="bool")
    model = keras.Model([h, rows], case.layer(balance_weight=0.5)(h, mask=rows))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    data = {"x": [case.h, mask], "y": np.zeros((7, 3, 3), np.float32), "batch_size": 7, "verbose": 0}
    added = model.fit(**data).history["loss"][0] - model.evaluate(**data)
    expected = 0.5 * oracle.balance_loss(route.probabilities, route.chosen, mask)
    assert added == pytest.approx(expected, rel=1e-5)


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


@every_way
def test_mixed_precision_has_the_gradients_of_float32_but_for_rounding(way):
    case = problem(WIDE)
    cotangent = cotangent_of(case)
    found = layer_gradients(case.layer(execution=way, dtype="mixed_bfloat16"), case.h, cotangent)
    expected = layer_gradients(case.layer(), case.h, cotangent)
    for (name, gradient), other in zip(found.items(), expected.values(), strict=True):
        assert gradient.dtype == np.float32, name
        assert_close(gradient, other, 0.03, message=name)


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


@pytest.mark.parametrize("way", [*ways.here(), "auto"])
def test_training_lowers_the_loss(way):
    """A teacher's outputs are learnt, in a model with a tower for each task."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 6)).astype(np.float32)
    targets = {f"task_{t}": np.tanh(x @ rng.normal(size=(6, 1))).astype(np.float32) for t in range(3)}
    h = keras.Input((6,))
    y = SMES(3, 12, 1, 1, (16, 8), execution=way)(h)
    towers = {name: keras.layers.Dense(1, name=name)(y[:, t]) for t, name in enumerate(targets)}
    model = keras.Model(h, towers)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    losses = model.fit(x, targets, epochs=8, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.tensorflow
def test_auto_trains_in_a_model_compiled_with_xla():
    case = problem(WIDE)
    losses = []
    for execution, jit_compile in [("auto", True), ("dense", False)]:
        model = functional(case.layer(execution=execution), (case.h,))
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
        data = {"x": case.h, "y": np.ones((12, 3, 3), np.float32), "batch_size": 6, "shuffle": False}
        losses.append(model.fit(**data, epochs=2, verbose=0).history["loss"])
    assert_close(*losses)


# --- refusals

GOOD = {"num_tasks": 3, "num_experts": 6, "num_shared": 2, "num_private": 1, "expert_units": [8, 4]}
NOT_COUNTS = [0, -1, True, 2.0, "2", None]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("num_tasks", "num_experts") for value in NOT_COUNTS],
        *[(name, value) for name in ("num_shared", "num_private") for value in (-1, True, 2.0, "2", None)],
        *[("num_private", value) for value in ([], [1, 1], [1, 1, 1, 1], [1, -1, 1], [1, True, 1])],
        ("num_shared", 7),
        *[("task_weights", value) for value in ([1.0, 1.0], [], [0.0, 0.0, 0.0])],
        *[("execution", value) for value in ("fast", None, "")],
    ],
)
def test_refuses(name, value):
    with pytest.raises(ValueError, match=f"`{name}`") as refusal:
        SMES(**{**GOOD, name: value})
    assert f"{name}={value!r}" in str(refusal.value)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), True, "1"], ids=repr)
def test_refuses_a_task_weight(weight):
    with pytest.raises(ValueError, match="`task_weights`") as refusal:
        SMES(**GOOD, task_weights=[1, weight, 1])
    assert repr(weight) in str(refusal.value)


@pytest.mark.parametrize(("name", "parts_name"), [("expert_units", "units"), ("balance_weight", "weight")])
@pytest.mark.parametrize("value", [[], 0, -1, True, "8", float("nan")], ids=repr)
def test_refuses_arguments_of_its_parts(name, parts_name, value):
    if (name, value) == ("balance_weight", 0):
        pytest.skip("zero is a weight: no loss")
    with pytest.raises(ValueError, match=f"`({name}|{parts_name})`") as refusal:
        SMES(**{**GOOD, name: value})
    assert repr(value) in str(refusal.value)


@pytest.mark.parametrize("name", ["expert_units", "balance_weight"])
def test_refusals_name_the_argument_that_was_given(name):
    with pytest.raises(ValueError, match=f"`{name}`.*{name}=-1"):
        SMES(**{**GOOD, name: -1})


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_private": 5}, r"at most `num_experts`.*num_experts=6, num_shared=2, num_private=\[5, 5, 5\]"),
        ({"num_private": [1, 1, 5]}, r"at most `num_experts`.*num_private=\[1, 1, 5\]"),
        ({"num_shared": 0, "num_private": 0}, r"needs an expert.*num_shared=0, num_private=\[0, 0, 0\]"),
        ({"num_shared": 0, "num_private": [1, 0, 1]}, r"needs an expert.*num_private=\[1, 0, 1\]"),
    ],
)
def test_refuses_sizes_that_can_not_work(sizes, message):
    with pytest.raises(ValueError, match=message):
        SMES(**{**GOOD, **sizes})


@pytest.mark.parametrize("shape", [(4, 5, 6), (4,)])
def test_refuses_inputs_of_another_rank(shape):
    with pytest.raises(ValueError, match=r"`inputs` must have shape \[batch, width\]"):
        SMES(**GOOD)(np.ones(shape, np.float32))


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


@pytest.mark.parametrize("count", [-1, True, 1.0, None])
def test_refuses_a_count_of_experts_always_on(count):
    with pytest.raises(ValueError, match="`num_always`"):
        SMES(2, 3, 1, 1, (4,), num_always=count)
