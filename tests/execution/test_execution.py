"""Each way of execution against the oracle, on choices that no router made."""

import functools
import itertools

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
    compiled,
    evaluate,
    evaluator,
    gradients,
    to_numpy,
    to_tensors,
)
from support.cases import DRAWN, seeds

from keras_smes import SMES, execution

RELU = keras.activations.relu
LINEAR = keras.activations.linear

every_way = pytest.mark.parametrize("way", ways.here())


def choice_of(chosen, seed=0, bound=None):
    """Any weights at all on `chosen` `[B, T, E]`: negative too, and of any sum."""
    weights = np.where(chosen, np.random.default_rng(seed).normal(size=chosen.shape), 0)
    union = chosen.any(axis=1)
    bound = max(1, union.sum(axis=1).max(initial=0)) if bound is None else bound
    lists = oracle.executed(union, bound).astype(np.int32)
    weights = weights.astype(np.float32)
    slots = np.eye(union.shape[1] + 1, dtype=np.float32)[lists][..., :-1]  # an empty slot is nobody's
    return execution.Choice(weights, np.einsum("bte,bme->btm", weights, slots), union, lists)


def weights_of(num_experts, widths, seed=0):
    rng = np.random.default_rng(seed)
    kernels = [rng.normal(size=(num_experts, *pair)) for pair in itertools.pairwise(widths)]
    biases = [rng.normal(size=(num_experts, width)) for width in widths[1:]]
    return [k.astype(np.float32) for k in kernels], [b.astype(np.float32) for b in biases]


def experts_of(kernels, biases, normalize=False, hidden=RELU, last=LINEAR):
    activations = [hidden] * (len(kernels) - 1) + [last]
    layers = zip(kernels, biases, activations, strict=True)
    return execution.Experts(tuple(execution.ExpertLayer(*layer) for layer in layers), normalize)


@functools.cache
def runner(way, **mlp):
    """One function a way, so that JAX compiles once for all calls of the same shapes."""

    def function(h, choice, kernels, biases):
        return execution.run(way, h, execution.Choice(*choice), experts_of(kernels, biases, **mlp))

    return evaluator(function)


def run(way, h, choice, kernels, biases, **mlp):
    return runner(way, **mlp)(h, tuple(choice), list(kernels), list(biases))


def expected_of(h, choice, kernels, biases, **mlp):
    chosen = np.broadcast_to(choice.union_be[:, None], choice.weights_bte.shape)
    return oracle.forward(h, chosen, choice.weights_bte, kernels, biases, **mlp)


def inputs_of(batch, width, seed=0):
    return np.random.default_rng(seed + 1).normal(size=(batch, width)).astype(np.float32)


def random_chosen(seed, batch=7, num_tasks=3, num_experts=6, share=0.3):
    return np.random.default_rng(seed).random((batch, num_tasks, num_experts)) < share


def test_the_tests_know_every_way():
    assert set(ways.WAYS) == set(execution.EXECUTIONS) - {"auto"}


@every_way
@DRAWN
@given(st.integers(0, 9), st.integers(1, 4), st.integers(1, 9), st.sampled_from([(4, 3), (4, 5, 3)]), seeds)
def test_equals_the_oracle(way, batch, num_tasks, num_experts, widths, seed):
    """Any choice: rows that choose nothing, experts that nobody chose, and all of them."""
    share = np.random.default_rng(seed).choice([0.1, 0.4, 1.0])
    choice = choice_of(random_chosen(seed, batch, num_tasks, num_experts, share), seed)
    problem = (inputs_of(batch, widths[0], seed), choice, *weights_of(num_experts, widths, seed))
    assert_close(run(way, *problem), expected_of(*problem))


@every_way
@pytest.mark.parametrize("normalize", [False, True])
def test_activations_and_normalisation(way, normalize):
    tanh = {"hidden": keras.activations.tanh, "last": keras.activations.relu, "normalize": normalize}
    problem = (inputs_of(7, 4), choice_of(random_chosen(2)), *weights_of(6, (4, 5, 5, 3)))
    expected = expected_of(*problem, activation=np.tanh, output_activation=oracle.relu, normalize=normalize)
    assert_close(run(way, *problem, **tanh), expected)


@every_way
def test_all_patterns_of_experts_that_nobody_chose(way):
    h, (kernels, biases) = inputs_of(5, 4), weights_of(6, (4, 3))
    for pattern in itertools.product([False, True], repeat=6):
        chosen = random_chosen(3, 5, 2, 6, share=0.6) & np.array(pattern)
        problem = (h, choice_of(chosen, bound=6), kernels, biases)
        assert_close(run(way, *problem), expected_of(*problem), message=f"{way}, used: {pattern}")


@every_way
@pytest.mark.parametrize("expert", [0, 3, 5])
def test_one_expert_may_take_all(way, expert):
    chosen = np.zeros((9, 2, 6), bool)
    chosen[:, :, expert] = True
    problem = (inputs_of(9, 4), choice_of(chosen), *weights_of(6, (4, 5, 3)))
    assert_close(run(way, *problem), expected_of(*problem))


@every_way
@pytest.mark.parametrize("batch", [0, 1])
def test_batches_of_none_and_one(way, batch):
    chosen = random_chosen(4, batch) | (np.arange(6) == 2)
    problem = (inputs_of(batch, 4), choice_of(chosen, bound=6), *weights_of(6, (4, 5, 3)))
    assert_close(run(way, *problem), expected_of(*problem))


@every_way
@pytest.mark.parametrize("spare", [0, 2])
def test_spare_slots_change_nothing(way, spare):
    """The bound may be above what any row needs."""
    chosen = random_chosen(5)
    chosen[2] = False
    bound = chosen.any(axis=1).sum(axis=1).max() + spare
    problem = (inputs_of(7, 4), choice_of(chosen, bound=bound), *weights_of(6, (4, 5, 3)))
    outputs = run(way, *problem)
    assert_close(outputs, expected_of(*problem))
    assert (outputs[2] == 0).all()


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


@pytest.mark.parametrize("way", [way for way in ways.here() if way != "dense"])
def test_a_broken_expert_reaches_only_the_rows_that_execute_it(way):
    """In float16 an expert overflows easily; `y[b]` is a sum over executed experts and no others."""
    choice, (kernels, biases) = choice_of(random_chosen(8)), weights_of(6, (4, 5, 3))
    h, others = inputs_of(7, 4), ~choice.union_be[:, 2]
    expected = run(way, h, choice, kernels, biases)
    biases[-1][2] = np.inf
    assert 0 < others.sum() < 7
    assert_close(run(way, h, choice, kernels, biases)[others], expected[others])


@every_way
def test_an_expert_that_overflows_reaches_only_the_rows_that_execute_it(way):
    choice, (kernels, biases) = choice_of(random_chosen(8)), weights_of(6, (4, 5, 3))
    others = ~choice.union_be[:, 2]
    biases[-1][2] = 1e5  # beyond float16
    h, *weights = ([a.astype("float16") for a in arrays] for arrays in ([inputs_of(7, 4)], kernels, biases))
    outputs = run(way, h[0], choice, *weights)
    assert 0 < others.sum() < 7
    assert np.isfinite(outputs[others]).all()
    assert not np.isfinite(outputs[~others]).all()


@pytest.mark.parametrize("way", ways.here(packs=True))
def test_each_pair_runs_exactly_once(way):
    """Rows are made to say who they are: expert e on instance b computes `1000 e + b`."""
    chosen, seen = random_chosen(9, batch=8), []

    def record(rows):
        seen.extend(np.ravel(ops.convert_to_numpy(rows)).astype(int).tolist())
        return rows

    experts = experts_of(
        [np.ones((6, 1, 1), np.float32)], [1000 * np.arange(6.0, dtype="f4")[:, None]], last=record
    )
    h = np.arange(8, dtype=np.float32)[:, None]
    execution.run(way, *to_tensors((h,)), execution.Choice(*to_tensors(tuple(choice_of(chosen)))), experts)
    pairs = [1000 * e + b for b, e in np.argwhere(chosen.any(axis=1))]
    assert sorted(seen) == sorted(pairs)


@every_way
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_mixes_in_float32_where_experts_compute_in_less(way, dtype):
    problem = (inputs_of(7, 4), choice_of(random_chosen(10)), *weights_of(6, (4, 5, 3)))

    def function(h, choice, kernels, biases):
        low = lambda tensors: [ops.cast(tensor, dtype) for tensor in tensors]  # noqa: E731
        experts = experts_of(low(kernels), low(biases))
        return execution.run(way, ops.cast(h, dtype), execution.Choice(*choice), experts)

    h, choice, kernels, biases = problem
    found = evaluate(function, h, tuple(choice), kernels, biases)
    assert found.dtype == np.float32
    # A few roundings of 2^-9 or 2^-12 in each of two layers.
    assert_close(found, expected_of(*problem), {"bfloat16": 0.02, "float16": 0.003}[dtype])


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


@pytest.mark.parametrize("way", ways.here(xla=True))
def test_runs_under_xla(way):
    h, choice, kernels, biases = problem = (
        *(inputs_of(7, 4), choice_of(random_chosen(11))),
        *weights_of(6, (4, 5, 3)),
    )

    def function(h, choice, kernels, biases):
        return execution.run(way, h, execution.Choice(*choice), experts_of(kernels, biases))

    outputs = compiled(function)(*to_tensors((h, tuple(choice), kernels, biases)))
    assert_close(to_numpy(outputs), expected_of(*problem))


@pytest.mark.parametrize(
    ("sizes", "xla", "training", "expected"),
    [
        ((64, 8, 262_144), False, False, "grouped"),
        ((64, 8, 262_144), True, True, "blocks"),
        ((30, 30, 262_144), False, False, "dense"),  # all experts are chosen: 4e6 < 30 * 1.6e5
        ((12, 12, 262_144), False, False, "grouped"),
        ((12, 11, 262_144), False, False, "grouped"),
        ((12, 7, 262_144), True, False, "dense"),
        # One instance: (80 * 11 - 5 - 10 * 5) * 6,144 + 4e6 = 9.1e6 < 80 * 1.6e5, but not for larger experts.
        ((80, 5, 6_144, 1), False, False, "dense"),
        ((80, 5, 24_576, 1), False, False, "grouped"),
        ((80, 5, 24_576, 1), True, False, "blocks"),
        ((40, 5, 24_576, 1), True, True, "blocks"),
        ((20, 5, 24_576, 1), True, True, "dense"),
        ((10, 5, 24_576, 1024), True, True, "blocks"),  # 1024 * (1 - 5 / 10) * 24,576 >= 2.2e6
    ],
)
def test_auto_follows_its_rule(sizes, xla, training, expected):
    assert execution.choose(*sizes, training=training, xla=xla) == expected


@pytest.mark.tensorflow
@pytest.mark.parametrize(("jit_compile", "op"), [(False, "ParallelDynamicStitch"), (True, "StatelessWhile")])
def test_auto_sees_whether_xla_compiles(jit_compile, op):
    import tensorflow as tf

    layer = SMES(2, 40, 1, 1, (64, 64))
    layer.build((None, 64))
    rows = tf.TensorSpec([None, 64])
    traced = tf.function(layer, jit_compile=jit_compile).get_concrete_function(rows)
    assert op in {node.type for node in traced.graph.get_operations()}


def test_grouped_is_refused_where_xla_compiles():
    if TENSORFLOW:
        import tensorflow as tf

        refused = tf.function(lambda: execution.run("grouped", *few()), jit_compile=True)
    else:
        refused = lambda: execution.run("grouped", *few())  # noqa: E731
    with pytest.raises(ValueError, match="without XLA"):
        refused()


@pytest.mark.tensorflow
def test_ragged_is_rejected_where_there_is_no_jax():
    with pytest.raises(ValueError, match="needs the JAX backend"):
        execution.run("ragged", *few())


def few():
    choice = execution.Choice(*to_tensors(tuple(choice_of(random_chosen(1)))))
    return *to_tensors((inputs_of(7, 4),)), choice, experts_of(*weights_of(6, (4, 3)))


@pytest.mark.tensorflow
@pytest.mark.parametrize("way", ways.here())
def test_a_traced_graph_holds_ops_that_any_server_knows(way):
    """No Python op and nothing of XLA: what stock TF Serving can run."""
    import tensorflow as tf

    experts, choice = experts_of(*weights_of(6, (4, 5, 3))), choice_of(random_chosen(12))
    traced = tf.function(lambda h, *choice: execution.run(way, h, execution.Choice(*choice), experts))
    graph = traced.get_concrete_function(*to_tensors((inputs_of(7, 4), *choice))).graph.as_graph_def()
    nodes = [*graph.node, *itertools.chain(*(function.node_def for function in graph.library.function))]
    ops_used = {node.op for node in nodes}
    assert "MatMul" in ops_used or "BatchMatMulV2" in ops_used
    assert not [op for op in ops_used if "PyFunc" in op or "Xla" in op]
