"""The formulas of routing against the oracle, and what they promise on every input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from support import oracle
from support.backends import assert_close, evaluate, gradients
from support.cases import DRAWN, seeds

from keras_smes import routing

# Few distinct values: nearly every row has ties.
tied_scores = st.lists(st.lists(st.integers(-2, 2), min_size=6, max_size=6), min_size=1, max_size=4)


def masks_of(picks, num_experts):
    mask = np.zeros(num_experts, bool)
    mask[picks] = True
    return mask


def random_choice(seed, batch=5, num_tasks=3, num_experts=7):
    """Logits, shared sets of two and task sets that hold them and up to three more."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(batch, num_tasks, num_experts)).astype(np.float32)
    shared = np.array([masks_of(rng.permutation(num_experts)[:2], num_experts) for _ in range(batch)])
    extra = rng.random(logits.shape) < 0.3
    return logits, shared, shared[:, None] | extra


@DRAWN
@given(tied_scores, st.integers(0, 6))
def test_top_k_takes_the_best_and_of_equals_the_lower_index(scores, k):
    scores = np.array(scores, np.float32)
    expected = np.array([oracle.top_k(row, k, range(6)) for row in scores]).reshape(len(scores), k)
    found = evaluate(lambda s: routing.top_k(s, k), scores)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("num_experts", [1, 2, 9, 33])
@pytest.mark.parametrize("value", [0.0, 0.3, -1e30, -np.inf])
def test_of_equal_scores_top_k_takes_the_lowest_indices(num_experts, value):
    scores = np.full((2, 3, num_experts), value, np.float32)
    for k in {0, 1, num_experts // 2, num_experts}:
        picks = evaluate(lambda s, k=k: routing.top_k(s, k), scores)
        np.testing.assert_array_equal(picks, np.broadcast_to(np.arange(k), (2, 3, k)))


def test_joint_score_by_hand():
    # Two tasks, three experts, weights 1/4 and 3/4:
    #   0.25 * [0.5, 0.3, 0.2] + 0.75 * [0.1, 0.2, 0.7] = [0.2, 0.225, 0.575]
    probabilities = np.array([[[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]], np.float32)
    score = evaluate(routing.joint_score, probabilities, np.array([0.25, 0.75], np.float32))
    assert_close(score, [[0.2, 0.225, 0.575]])


@DRAWN
@given(
    st.lists(st.lists(st.integers(-2, 2), min_size=5, max_size=5), min_size=3, max_size=3),
    st.sets(st.integers(0, 4), max_size=3),
    st.one_of(st.integers(0, 2), st.lists(st.integers(0, 2), min_size=3, max_size=3)),
)
def test_private_experts_are_the_best_of_those_not_shared(logits, shared, num_private):
    logits = np.array(logits, np.float32)
    counts = oracle.private_counts(num_private, 3)
    others = [e for e in range(5) if e not in shared]
    picks = [oracle.top_k(row, k, others) for row, k in zip(logits, counts, strict=True)]
    expected = [row + [5] * (max(counts) - len(row)) for row in picks]
    function = lambda z, s: routing.private_experts(z, s, counts)  # noqa: E731
    private = evaluate(function, logits[None], np.array([sorted(shared)], np.int32).reshape(1, -1))
    np.testing.assert_array_equal(private[0], np.array(expected).reshape(3, -1))


@pytest.mark.parametrize("low", [-np.inf, -1e30, np.finfo(np.float32).min])
def test_private_experts_are_never_shared_however_low_the_logits(low):
    logits = np.full((1, 2, 6), low, np.float32)
    private = evaluate(
        lambda z, s: routing.private_experts(z, s, (2, 2)), logits, np.array([[0, 2]], np.int32)
    )
    assert not np.isin(private, [0, 2]).any()
    if np.isfinite(low):
        np.testing.assert_array_equal(private, [[[1, 3], [1, 3]]])


@DRAWN
@given(seeds)
def test_gates_are_a_softmax_over_the_task_set(seed):
    logits, _, chosen = random_choice(seed)
    weights = evaluate(routing.gates, logits, chosen)
    for b, t in np.ndindex(5, 3):
        assert_close(weights[b, t][chosen[b, t]], oracle.softmax(logits[b, t][chosen[b, t]].astype(float)))
    assert (weights[~chosen] == 0).all()
    assert (weights >= 0).all()
    assert_close(weights.sum(axis=2), np.ones((5, 3)))


def test_gates_are_the_probabilities_renormalised_over_the_task_set():
    logits, _, chosen = random_choice(3)
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    expected = np.where(chosen, p, 0) / np.where(chosen, p, 0).sum(axis=2, keepdims=True)
    assert_close(evaluate(routing.gates, logits, chosen), expected)


@pytest.mark.parametrize("logits", [[1e4, -1e4, 0.0], [-3e38, -3e38, 3e38], [0.0, -200.0, 300.0]])
def test_gates_survive_extreme_logits(logits):
    """An expert outside the set, however probable, takes nothing from those inside."""
    chosen = np.array([[[True, True, False]]])
    weights = evaluate(routing.gates, np.array([[logits]], np.float32), chosen)
    expected = oracle.softmax(np.array(logits[:2]))
    assert_close(weights[0, 0], [*expected, 0.0])


def test_gradients_reach_exactly_the_logits_of_the_task_set():
    logits, _, chosen = random_choice(4)
    cotangent = np.random.default_rng(5).normal(size=logits.shape).astype(np.float32)
    function = lambda tensors: ops.sum(routing.gates(tensors[0], chosen) * cotangent)  # noqa: E731
    (gradient,) = gradients(function, [logits])
    expected = np.zeros(logits.shape)
    for b, t in np.ndindex(5, 3):
        here = chosen[b, t]
        g, c = oracle.softmax(logits[b, t][here].astype(float)), cotangent[b, t][here]
        expected[b, t][here] = g * (c - np.sum(g * c))
    assert_close(gradient, expected)
    assert (gradient[~chosen] == 0).all()


@DRAWN
@given(
    st.lists(st.sets(st.integers(0, 5), min_size=2, max_size=2), min_size=1, max_size=4),
    st.lists(
        st.lists(st.lists(st.integers(0, 6), min_size=2, max_size=2), min_size=3, max_size=3), min_size=4
    ),
)
def test_executed_experts_list_the_union_ascending_padded_with_the_number_of_experts(shared, private):
    private = private[: len(shared)]
    union = np.zeros((len(shared), 6), bool)
    for b, (common, tasks) in enumerate(zip(shared, private, strict=True)):
        union[b, [e for e in {*common, *np.ravel(tasks)} if e < 6]] = True
    for size in {union.sum(axis=1).max(), 6}:
        function = lambda s, p, m=size: routing.executed_experts(s, p, 6, m)  # noqa: E731
        executed = evaluate(function, *(np.array(x, np.int32) for x in ([*map(sorted, shared)], private)))
        assert executed.dtype == np.int32
        np.testing.assert_array_equal(executed, oracle.executed(union, size))


@DRAWN
@given(st.integers(0, 3), seeds)
def test_among_is_membership(width, seed):
    rng = np.random.default_rng(seed)
    experts, lists = rng.integers(0, 5, (3, 1, 6)), rng.integers(0, 5, (3, 2, width))
    found = evaluate(routing.among, experts.astype(np.int32), lists.astype(np.int32))
    expected = [[np.isin(experts[b, 0], lists[b, t]) for t in range(2)] for b in range(3)]
    np.testing.assert_array_equal(found, expected)


def test_union_bound():
    assert routing.union_bound(64, 2, (1,) * 6) == 8
    assert routing.union_bound(5, 2, (1, 0, 3)) == 5
    assert routing.union_bound(9, 1, (0, 3, 1)) == 5
