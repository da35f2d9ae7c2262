"""Gradients and the balance loss of the whole layer, against the oracle, in each precision."""

import keras
import numpy as np
import pytest
from keras import ops
from support import oracle, ways
from support.backends import assert_close, evaluate, gradients, to_numpy
from support.cases import EDGES, WIDE, Sizes, problem
from support.layer_contract import (
    functional,
)

from keras_smes import SMES

every_way = pytest.mark.parametrize("way", ways.here())


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


@every_way
def test_mixed_precision_has_the_gradients_of_float32_but_for_rounding(way):
    case = problem(WIDE)
    cotangent = cotangent_of(case)
    found = layer_gradients(case.layer(execution=way, dtype="mixed_bfloat16"), case.h, cotangent)
    expected = layer_gradients(case.layer(), case.h, cotangent)
    for (name, gradient), other in zip(found.items(), expected.values(), strict=True):
        assert gradient.dtype == np.float32, name
        assert_close(gradient, other, 0.03, message=name)


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
