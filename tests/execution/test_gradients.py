"""Gradients of each way of execution: those of dense, of finite differences, under any tape."""

import functools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from support import oracle, ways
from support.backends import (
    TENSORFLOW,
    assert_close,
    gradients,
    to_numpy,
    to_tensors,
)
from support.cases import DRAWN, seeds
from support.chosen_pairs import choice_of, expected_of, experts_of, inputs_of, random_chosen, run, weights_of

from keras_smes import execution

every_way = pytest.mark.parametrize("way", ways.here())


def loss_gradients(way, h, choice, kernels, biases, cotangent):
    """Gradients of `sum(output * cotangent)` for the inputs, the weights of mixing, kernels, biases."""
    count = len(kernels)

    def loss(tensors):
        h, weights, *rest = tensors
        slots = ops.one_hot(choice.executed_bm, weights.shape[2])
        of_slots = ops.einsum("bte,bme->btm", weights, slots)
        mixed = choice._replace(weights_bte=weights, slot_weights_btm=of_slots)
        outputs = execution.run(way, h, mixed, experts_of(rest[:count], rest[count:]))
        return ops.sum(outputs * cotangent)

    names = [
        "inputs",
        "weights",
        *(f"kernel {i}" for i in range(count)),
        *(f"bias {i}" for i in range(count)),
    ]
    arrays = gradients(loss, [h, choice.weights_bte, *kernels, *biases])
    return dict(zip(names, arrays, strict=True))


@pytest.mark.parametrize("way", ways.sparse())
@settings(DRAWN, max_examples=25 if TENSORFLOW else 6)
@given(st.integers(0, 9), st.integers(1, 3), st.integers(1, 7), seeds)
def test_gradients_equal_those_of_dense(way, batch, num_tasks, num_experts, seed):
    chosen = random_chosen(seed, batch, num_tasks, num_experts)
    problem = (inputs_of(batch, 4, seed), choice_of(chosen), *weights_of(num_experts, (4, 5, 3), seed))
    cotangent = np.random.default_rng(seed).normal(size=(batch, num_tasks, 3)).astype(np.float32)
    found, expected = (loss_gradients(name, *problem, cotangent) for name in (way, "dense"))
    # Dense also differentiates by weights of experts that a row does not execute: not a function of them.
    expected["weights"] = np.where(problem[1].union_be[:, None], expected["weights"], 0)
    for name, gradient in expected.items():
        assert_close(found[name], gradient, message=name)


@every_way
def test_gradients_equal_finite_differences(way):
    choice = choice_of(random_chosen(6, 4, 2, 5), 6)
    h, (kernels, biases) = inputs_of(4, 3), weights_of(5, (3, 4, 2))
    cotangent = np.random.default_rng(7).normal(size=(4, 2, 2)).astype(np.float32)
    found = loss_gradients(way, h, choice, kernels, biases, cotangent)
    value = lambda h, kernels, biases: np.sum(expected_of(h, choice, kernels, biases) * cotangent)  # noqa: E731
    expected = {"inputs": oracle.finite_differences(lambda x: value(x, kernels, biases), h)}
    for i in range(2):
        swap = lambda arrays, x, i=i: [*arrays[:i], x, *arrays[i + 1 :]]  # noqa: E731
        by_kernel = lambda x, swap=swap: value(h, swap(kernels, x), biases)  # noqa: E731
        by_bias = lambda x, swap=swap: value(h, kernels, swap(biases, x))  # noqa: E731
        expected[f"kernel {i}"] = oracle.finite_differences(by_kernel, kernels[i])
        expected[f"bias {i}"] = oracle.finite_differences(by_bias, biases[i])
    for name, gradient in expected.items():
        assert_close(found[name], gradient, message=name)


@every_way
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_row_stays_alone(way, value):
    """A row of NaN or infinity leaves the other rows as they were, in values and input gradients."""
    choice, weights = choice_of(random_chosen(8)), weights_of(6, (4, 5, 3))
    h = inputs_of(7, 4)
    broken, others = h.copy(), np.arange(7) != 3
    broken[3] = value
    clean, found = run(way, h, choice, *weights), run(way, broken, choice, *weights)
    assert np.isfinite(clean).all()
    np.testing.assert_array_equal(found[others], clean[others])
    cotangent = np.ones((7, 3, 3), np.float32)
    before, after = (loss_gradients(way, x, choice, *weights, cotangent)["inputs"] for x in (h, broken))
    np.testing.assert_array_equal(after[others], before[others])


def gradients_of_two_losses(way, choice):
    """A function from inputs and weights to the gradients of two losses, by one persistent tape."""
    import tensorflow as tf

    def function(h, kernels, biases):
        tensors = [h, *kernels, *biases]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(tensors)
            y = execution.run(way, h, execution.Choice(*choice), experts_of(kernels, biases))
            losses = [tf.reduce_sum(y**2), tf.reduce_sum(tf.sin(y))]
        return [tape.gradient(loss, tensors) for loss in losses]

    return function


@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("way", ways.here(xla=True))
def test_a_persistent_tape_differentiates_twice(way, jit_compile):
    import tensorflow as tf

    h, choice, weights = inputs_of(7, 3), choice_of(random_chosen(3)), weights_of(6, (3, 5, 2), 4)
    given = to_tensors((h, *weights))
    found = tf.function(gradients_of_two_losses(way, choice), jit_compile=jit_compile)(*given)
    expected = gradients_of_two_losses("dense", choice)(*given)
    for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        assert_close(to_numpy(one), to_numpy(other))


@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("way", ["blocks", "tiles"])
def test_a_tape_may_surround_another(way, jit_compile):
    """What the outer one has recorded of the inner one's gradient is no obstacle to its own."""
    import tensorflow as tf

    h, choice, weights = inputs_of(7, 3), choice_of(random_chosen(3)), weights_of(6, (3, 5, 2), 4)

    @functools.partial(tf.function, jit_compile=jit_compile)
    def both(h, kernels, biases, way):
        with tf.GradientTape() as outer:
            outer.watch([h, *kernels])
            with tf.GradientTape() as inner:
                inner.watch(h)
                y = execution.run(way, h, execution.Choice(*choice), experts_of(kernels, biases))
                loss = tf.reduce_sum(y**2)
            own = inner.gradient(loss, h)
        return own, outer.gradient(loss, [h, *kernels])

    given = to_tensors((h, *weights))
    found, expected = (keras.tree.flatten(both(*given, name)) for name in (way, "dense"))
    for one, other in zip(found, expected, strict=True):
        assert_close(to_numpy(one), to_numpy(other))


@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_blocks_reject_gradients_of_gradients(jit_compile):
    import tensorflow as tf

    choice, weights = choice_of(random_chosen(3)), weights_of(6, (3, 5, 2), 4)

    @functools.partial(tf.function, jit_compile=jit_compile)
    def curvature(h):
        with tf.GradientTape() as outer:
            outer.watch(h)
            with tf.GradientTape() as inner:
                inner.watch(h)
                y = execution.run("blocks", h, execution.Choice(*choice), experts_of(*weights))
                loss = tf.reduce_sum(y**2)
            gradient = inner.gradient(loss, h)
        return outer.gradient(gradient, h)

    with pytest.raises(NotImplementedError, match="use execution='dense' for gradients of gradients"):
        curvature(tf.constant(inputs_of(7, 3)))
