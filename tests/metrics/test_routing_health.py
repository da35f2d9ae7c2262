"""Health of routing: each measure against loops, in any batches, replicas and graphs."""

import doctest
import itertools
import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.backends import compiled, to_tensors
from support.routing_batches import BOUND, EXPERTS, TASKS, batch, health_of, routing_of

from keras_smes import SMES
from keras_smes.metrics import RoutingHealth, fixed_point, routing_health


def assert_same(health, expected):
    """All counts and overlaps are equal; entropies to the logarithm of float32."""
    state, other = health.state(), expected.state()
    assert state.keys() == other.keys()
    rows = int(state["union_sizes"].sum())
    for name, counts in state.items():
        tolerance = 1e-6 * rows * fixed_point.SCALE if name == "entropy" else 0
        np.testing.assert_allclose(counts, other[name], rtol=0, atol=tolerance, err_msg=name)


def by_loops(p_bte, chosen_bte, union_be):
    """The specification's measures with sets and loops, apart from the vectorised ones."""
    rows, num_tasks, num_experts = p_bte.shape
    sets = [[set(np.flatnonzero(chosen_bte[b, t])) for t in range(num_tasks)] for b in range(rows)]
    executed = [set(np.flatnonzero(union_be[b])) for b in range(rows)]
    pairs = sum(len(union) for union in executed)
    load = [sum(e in union for union in executed) / pairs for e in range(num_experts)]
    differences = sum(abs(x - y) for x in load for y in load)
    overlap = [
        [np.mean([len(s[t] & s[u]) / len(s[t] | s[u]) for s in sets]) for u in range(num_tasks)]
        for t in range(num_tasks)
    ]
    entropy = [
        np.mean([-sum(float(p) * math.log(p) for p in p_bte[b, t]) for b in range(rows)])
        for t in range(num_tasks)
    ]
    return {
        "rows": rows,
        "expert_load": load,
        "load_max_over_mean": max(load) / np.mean(load),
        "load_cv": np.std(load) / np.mean(load),
        "load_gini": differences / (2 * num_experts**2 * np.mean(load)),
        "dead_experts": sum(x < np.mean(load) / 10 for x in load),
        "union_mean": pairs / rows,
        "union_max": max(len(union) for union in executed),
        "union_bound": BOUND,
        "num_experts": num_experts,
        "union_sizes": [sum(len(union) == size for union in executed) for size in range(num_experts + 1)],
        "task_overlap": np.mean([overlap[t][u] for t, u in itertools.combinations(range(num_tasks), 2)]),
        "task_overlap_matrix": overlap,
        "router_entropy": np.mean(entropy),
        "router_entropy_per_task": entropy,
        "task_expert_share": [
            [sum(e in s[t] for s in sets) / sum(len(s[t]) for s in sets) for e in range(num_experts)]
            for t in range(num_tasks)
        ],
    }


def test_every_measure_equals_a_loop_over_sets():
    arrays = batch(0, 300)
    expected, result = by_loops(*arrays), health_of(arrays).result()
    assert 0 < expected["dead_experts"] < EXPERTS, "the case must have dead and living experts"
    assert result.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(result[name], value, rtol=1e-6, atol=1e-9, err_msg=name)


def test_by_hand():
    # Instance 0: tasks use {0, 1} and {0, 2}; instance 1: both use {0, 1}. Executed: 0 1 2 and 0 1.
    chosen_bte = np.array([[[1, 1, 0, 0], [1, 0, 1, 0]], [[1, 1, 0, 0], [1, 1, 0, 0]]], bool)
    p_bte = np.array([[[0.5, 0.5, 0, 0]] * 2, [[0.25] * 4] * 2], np.float32)
    health = RoutingHealth(num_tasks=2, num_experts=4, bound=3)
    health.update_state(routing_of([p_bte, chosen_bte, chosen_bte.any(axis=1)]))
    result = health.result()
    assert result["expert_load"] == [0.4, 0.4, 0.2, 0.0]
    assert result["load_max_over_mean"] == pytest.approx(1.6)
    assert result["load_cv"] == pytest.approx(math.sqrt(0.0275) / 0.25)
    assert result["load_gini"] == pytest.approx((0.2 * -1 + 0.4 * 1 + 0.4 * 3) / 4)
    assert result["dead_experts"] == 1
    assert (result["union_mean"], result["union_max"], result["union_bound"]) == (2.5, 3, 3)
    assert result["union_sizes"] == [0, 0, 1, 1, 0]
    assert result["task_overlap"] == pytest.approx((1 / 3 + 1) / 2)
    assert result["router_entropy"] == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert result["task_expert_share"] == [[0.5, 0.5, 0, 0], [0.5, 0.25, 0.25, 0]]


def test_one_expert_with_all_the_load():
    union_be = np.zeros((10, EXPERTS), bool)
    union_be[:, 3] = True
    chosen_bte = np.repeat(union_be[:, None], TASKS, axis=1)
    p_bte = np.full(chosen_bte.shape, 1 / EXPERTS, np.float32)
    result = health_of((p_bte, chosen_bte, union_be)).result()
    assert result["load_max_over_mean"] == EXPERTS
    assert result["load_gini"] == pytest.approx(1 - 1 / EXPERTS)
    assert result["dead_experts"] == EXPERTS - 1
    assert result["task_overlap"] == 1.0
    assert result["router_entropy"] == pytest.approx(math.log(EXPERTS), abs=1e-6)


@settings(deadline=None, max_examples=15)  # a shared machine may stall
@given(st.integers(0, 10**6), st.lists(st.integers(0, 25), max_size=4))
def test_no_split_into_batches_changes_a_count(seed, cuts):
    arrays = batch(seed, 25)
    bounds = [0, *sorted(cuts), 25]
    parts = [[array[i:j] for array in arrays] for i, j in itertools.pairwise(bounds)]
    assert_same(health_of(*parts), health_of(arrays))


@settings(deadline=None, max_examples=15)  # a shared machine may stall
@given(st.integers(0, 10**6))
def test_the_order_of_rows_changes_no_count(seed):
    arrays = batch(seed, 25)
    order = np.random.default_rng(seed).permutation(25)
    assert_same(health_of([array[order] for array in arrays]), health_of(arrays))


@settings(deadline=None, max_examples=15)  # a shared machine may stall
@given(st.integers(0, 10**6), st.integers(0, 25))
def test_merge_equals_one_pass(seed, cut):
    arrays = batch(seed, 25)
    left, right = health_of([a[:cut] for a in arrays]), health_of([a[cut:] for a in arrays])
    before, summed = right.result(), RoutingHealth(TASKS, EXPERTS, BOUND)
    summed.add_state({name: counts + right.state()[name] for name, counts in left.state().items()})
    left.merge_state([right])
    assert_same(left, health_of(arrays))
    assert left.result() == summed.result()  # an all-reduce of states is a merge
    assert right.result() == before


def test_counts_outgrow_int32():
    # By doubling: 25 * 2**28 rows, with overlaps and entropies as those of 25.
    arrays = batch(2, 25)
    health, expected = health_of(arrays), health_of(arrays).result()
    for _ in range(28):
        health.merge_state([health])
    result = health.result()
    assert result["rows"] == 25 * 2**28
    for name in ("expert_load", "task_overlap_matrix", "router_entropy_per_task", "union_mean"):
        np.testing.assert_allclose(result[name], expected[name], rtol=1e-12, err_msg=name)
    health.update_state(routing_of(arrays))
    assert health.result()["rows"] == 25 * 2**28 + 25


def test_low_words_carry_so_that_those_of_replicas_add_up_in_int32():
    health = health_of()
    full = {name: np.full_like(count, 2**fixed_point.LOW_BITS - 1) for name, count in health.state().items()}
    health.add_state(full)
    arrays = batch(8, 25)
    health.update_state(routing_of(arrays))
    for variable in health.variables:
        assert keras.ops.convert_to_numpy(variable)[0].max() < 2**fixed_point.LOW_BITS, variable.path
    expected = health_of(arrays).state()["pairs"] + full["pairs"]
    np.testing.assert_array_equal(health.state()["pairs"], expected)


def test_rows_that_pad_do_not_count():
    arrays, mask_b = batch(3, 40), np.arange(40) % 3 > 0
    padded = [np.where(mask_b.reshape(-1, *[1] * (array.ndim - 1)), array, np.nan) for array in arrays[:1]]
    health = RoutingHealth(TASKS, EXPERTS, BOUND)
    health.update_state(routing_of([*padded, *arrays[1:]]), mask_b)
    assert_same(health, health_of([array[mask_b] for array in arrays]))


def test_a_compiled_step_counts_the_same():
    arrays, mask_b = batch(4, 30), np.arange(30) < 20
    health = RoutingHealth(TASKS, EXPERTS, BOUND)
    tensors, mask = to_tensors(routing_of(arrays)), keras.ops.convert_to_tensor(mask_b)
    values = compiled(health.stateless_update_state)([v.value for v in health.variables], tensors, mask)
    for variable, value in zip(health.variables, values, strict=True):
        variable.assign(value)
    assert_same(health, health_of([array[:20] for array in arrays]))


@pytest.mark.tensorflow
def test_a_graph_of_unknown_batch_counts_the_same():
    from support.backends import graph_of_unknown_batch

    health, arrays = RoutingHealth(TASKS, EXPERTS, BOUND), batch(5, 30)
    update = graph_of_unknown_batch(lambda *parts: health.update_state(routing_of(parts)), *arrays)
    for part in (slice(0, 7), slice(7, 30)):
        update(*(array[part] for array in arrays))
    assert_same(health, health_of(arrays))


@keras.saving.register_keras_serializable(package="test_routing_health")
class Watched(keras.layers.Layer):
    """A layer that keeps its routing's health among its metrics."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.smes = SMES(2, 6, 1, 1, (4, 3), name="smes")
        self.health = RoutingHealth(2, 6, 3)

    def build(self, input_shape):
        self.smes.build(input_shape)

    def call(self, inputs):
        self.health.update_state(self.smes.route(inputs))
        return self.smes(inputs)[:, 0, :1]


@pytest.mark.tensorflow
def test_in_fit_and_evaluate_it_counts_one_pass_over_the_rows():
    x = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    layer = Watched()
    model = keras.Sequential([layer])
    model.compile("sgd", "mse")
    history = model.fit(
        x, x[:, :1], batch_size=16, epochs=2, validation_data=(x, x[:, :1]), verbose=0
    ).history
    assert set(history) == {"loss", "val_loss"}
    model.evaluate(x, x[:, :1], batch_size=16, verbose=0)
    expected = RoutingHealth(2, 6, 3)
    expected.update_state(layer.smes.route(x))
    assert layer.health.result()["rows"] == 50
    assert_same(layer.health, expected)


def test_reset_forgets():
    health = health_of(batch(0, 9))
    health.reset_state()
    assert health.result() == health_of().result()


def test_the_example_runs():
    result = doctest.testmod(routing_health)
    assert result.attempted > 0
    assert result.failed == 0
