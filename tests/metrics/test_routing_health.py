import doctest
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_smes.metrics import RoutingHealth, routing_health

TASKS, EXPERTS, BOUND = 3, 8, 5


def batch(seed, count, num_tasks=TASKS, num_experts=EXPERTS):
    """Routes of two experts chosen by all tasks and one by each for itself, skewed to low indices."""
    rng = np.random.default_rng(seed)
    logits_bte = rng.normal(size=(count, num_tasks, num_experts)) - 0.5 * np.arange(num_experts)
    p_bte = np.exp(logits_bte) / np.exp(logits_bte).sum(axis=2, keepdims=True)
    chosen_bte = np.zeros((count, num_tasks, num_experts), bool)
    for b, t in itertools.product(range(count), range(num_tasks)):
        shared = np.argsort(-p_bte[b].sum(axis=0))[:2]
        private = next(e for e in np.argsort(-p_bte[b, t]) if e not in shared)
        chosen_bte[b, t, [*shared, private]] = True
    return p_bte.astype(np.float32), chosen_bte, chosen_bte.any(axis=1)


def health_of(*batches, num_tasks=TASKS, num_experts=EXPERTS):
    health = RoutingHealth(num_tasks, num_experts, BOUND)
    for arrays in batches:
        health.update(*arrays)
    return health


def by_loops(p_bte, chosen_bte, union_be):
    """SPEC.md's measures with sets and loops, apart from the vectorised ones."""
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
    health.update(p_bte, chosen_bte, chosen_bte.any(axis=1))
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
    result = health_of((np.full(chosen_bte.shape, 1 / EXPERTS), chosen_bte, union_be)).result()
    assert result["load_max_over_mean"] == EXPERTS
    assert result["load_gini"] == pytest.approx(1 - 1 / EXPERTS)
    assert result["dead_experts"] == EXPERTS - 1
    assert result["task_overlap"] == 1.0
    assert result["router_entropy"] == pytest.approx(math.log(EXPERTS), abs=1e-9)


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 10**6), st.lists(st.integers(0, 25), max_size=6))
def test_no_split_into_batches_changes_a_bit(seed, cuts):
    arrays = batch(seed, 25)
    bounds = [0, *sorted(cuts), 25]
    parts = [[array[i:j] for array in arrays] for i, j in itertools.pairwise(bounds)]
    assert health_of(*parts).result() == health_of(arrays).result()


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 10**6))
def test_the_order_of_rows_changes_nothing(seed):
    arrays = batch(seed, 25)
    order = np.random.default_rng(seed).permutation(25)
    assert health_of([array[order] for array in arrays]).result() == health_of(arrays).result()


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 10**6), st.integers(0, 25))
def test_merge_equals_one_pass(seed, cut):
    arrays = batch(seed, 25)
    left, right = health_of([a[:cut] for a in arrays]), health_of([a[cut:] for a in arrays])
    before = right.result()
    left.merge(right)
    assert left.result() == health_of(arrays).result()
    assert right.result() == before


def test_memory_layout_changes_nothing():
    p_bte, *sets = batch(7, 50, num_experts=64)
    other = np.asfortranarray(p_bte)
    # Before the rounding to fixed point, which would hide most differences from a small test.
    np.testing.assert_array_equal(routing_health._entropy(other), routing_health._entropy(p_bte))
    results = [health_of([p, *sets], num_experts=64).result() for p in (p_bte, other)]
    assert results[0] == results[1]


def test_without_rows_what_is_not_defined_is_none():
    result = health_of().result()
    assert result == health_of(batch(0, 0)).result()
    assert (result["rows"], result["union_bound"], result["num_experts"]) == (0, BOUND, EXPERTS)
    assert result["expert_load"] == [None] * EXPERTS
    assert result["union_sizes"] == [0] * (EXPERTS + 1)
    assert result["task_expert_share"] == [[None] * EXPERTS] * TASKS
    for name in ("load_max_over_mean", "load_cv", "load_gini", "dead_experts", "union_mean", "union_max"):
        assert result[name] is None, name
    assert result["task_overlap"] is result["router_entropy"] is None


def test_one_task_has_no_overlap():
    result = health_of(batch(0, 5, num_tasks=1), num_tasks=1).result()
    assert result["task_overlap"] is None
    assert result["task_overlap_matrix"] == [[1.0]]


@pytest.mark.parametrize("count", [0, 20])
def test_json_holds_the_result(count):
    result = health_of(batch(0, count)).result()
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize("sizes", [(0, 4, 2), (2, 0, 0), (2, 4, 0), (2, 4, 5)])
def test_sizes_that_cannot_work_are_refused(sizes):
    with pytest.raises(ValueError, match=f"num_tasks={sizes[0]}, num_experts={sizes[1]}, bound={sizes[2]}"):
        RoutingHealth(*sizes)


P, CHOSEN, UNION = batch(0, 4)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((P[:3], CHOSEN, UNION), r"\(3, 3, 8\), \(4, 3, 8\) and \(4, 8\)"),
        ((P, CHOSEN[:, :2], UNION), r"T=3, E=8.*\(4, 2, 8\)"),
        ((P, CHOSEN, UNION[:, :7]), r"\(4, 7\)"),
        ((0.5, True, True), r"\(\), \(\) and \(\)"),
        ((P, CHOSEN.astype(float), UNION), r"must be bool.*chosen\.dtype=float64, union\.dtype=bool"),
        ((P, CHOSEN, UNION.astype(int)), r"union\.dtype=int64"),
        ((np.full_like(P, np.nan), CHOSEN, UNION), r"`probabilities` must be finite.*nan"),
        ((-P, CHOSEN, UNION), r"not negative\. Received: -0\."),
        ((P, CHOSEN, np.zeros_like(UNION)), r"`union` must hold .*union\[0, 0\]=False"),
    ],
)
def test_a_bad_batch_is_refused_and_counts_for_nothing(arrays, message):
    health = health_of(batch(1, 6))
    with pytest.raises(ValueError, match=message):
        health.update(*arrays)
    assert health.result() == health_of(batch(1, 6)).result()


def test_merging_other_sizes_is_refused():
    with pytest.raises(ValueError, match=r"\(3, 8, 5\)\. Received: \(3, 8, 4\)"):
        health_of().merge(RoutingHealth(TASKS, EXPERTS, 4))


def test_the_example_runs():
    result = doctest.testmod(routing_health)
    assert result.attempted > 0
    assert result.failed == 0
