"""The whole layer against the oracle: invariants, three special cases, independence of instances."""

import numpy as np
import pytest
from hypothesis import given
from support import oracle, ways
from support.backends import assert_close, evaluate, evaluator
from support.cases import DRAWN, EDGES, WIDE, Sizes, problem, problems, seeds

every_way = pytest.mark.parametrize("way", ways.here())
every_edge = pytest.mark.parametrize("edge", EDGES)


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
