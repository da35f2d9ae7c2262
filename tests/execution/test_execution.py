"""Each way of execution against the oracle, on choices that no router made."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from support import oracle, ways
from support.backends import assert_close, compiled, evaluate, to_numpy, to_tensors
from support.cases import DRAWN, seeds
from support.chosen_pairs import choice_of, expected_of, experts_of, inputs_of, random_chosen, run, weights_of

from keras_smes import execution

every_way = pytest.mark.parametrize("way", ways.here())


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
