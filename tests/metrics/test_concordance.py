import doctest
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from keras_smes.metrics import GroupedResult, concordance, gxauc, xauc

REDUCTIONS = ["impressions", "mean", "positives"]


def by_pairs(labels, scores, weights):
    """XAUC by a loop over all pairs; NaN if none has an order."""
    won = every = 0.0
    for i, j in itertools.permutations(range(len(labels)), 2):
        if labels[i] > labels[j]:
            every += weights[i] * weights[j]
            won += weights[i] * weights[j] * ((scores[i] > scores[j]) + (scores[i] == scores[j]) / 2)
    return won / every if every else math.nan


def rows(seed, count, levels=6):
    rng = np.random.default_rng(seed)
    return rng.integers(0, levels, count) * 7.5, rng.normal(size=count).round(1), rng.random(count)


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 10**6), st.integers(0, 25), st.booleans())
def test_xauc_equals_a_loop_over_pairs(seed, count, weighted):
    labels, scores, weights = rows(seed, count)
    weights = weights if weighted else np.ones(count)
    expected = by_pairs(labels, scores, weights)
    assert xauc(labels, scores, weights) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_xauc_of_many_rows_equals_a_matrix_of_pairs():
    labels, scores, _ = rows(0, 3000, levels=500)
    ordered = labels[:, None] > labels
    won = ordered * (1.0 * (scores[:, None] > scores) + 0.5 * (scores[:, None] == scores))
    assert xauc(labels, scores) == pytest.approx(won.sum() / ordered.sum(), abs=1e-12)


def test_on_binary_labels_xauc_is_auc():
    labels, scores, weights = rows(1, 500, levels=2)
    expected = roc_auc_score(labels > 0, scores, sample_weight=weights)
    assert xauc(labels, scores, weights) == pytest.approx(expected, abs=1e-12)


def test_xauc_by_hand():
    # 60 beats 5 and loses to 30; 30 beats 5.
    assert xauc([5, 30, 60], [0.1, 0.9, 0.5]) == pytest.approx(2 / 3)
    # The pair of equal labels doesn't count; one of the two others ties.
    assert xauc([5, 5, 9], [0.3, 0.1, 0.3]) == 0.75
    assert xauc([1, 2, 3], [3, 2, 1]) == 0.0


@pytest.mark.parametrize("labels", [[], [4.0], [4.0, 4.0, 4.0]])
def test_without_an_order_xauc_is_nan(labels):
    assert math.isnan(xauc(labels, np.arange(len(labels))))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_gxauc_equals_a_loop_over_users(seed, reduction):
    labels, scores, weights = rows(seed, 300)
    users = (60 * np.random.default_rng(seed).random(300) ** 2).astype(int) * 7 - 3
    values, totals, used_rows, left_out = [], [], 0, 0
    for user in sorted(set(users.tolist())):
        mine = users == user
        value = by_pairs(labels[mine], scores[mine], weights[mine])
        if math.isnan(value):
            left_out += 1
            continue
        positives = weights[mine & (labels > 0)].sum()
        values.append(value)
        totals.append({"impressions": weights[mine].sum(), "mean": 1, "positives": positives}[reduction])
        used_rows += int(mine.sum())
    assert left_out > 0, "the case must leave users out"
    value = pytest.approx(np.average(values, weights=totals), abs=1e-12)
    expected = GroupedResult(value, len(values), left_out, used_rows)
    assert gxauc(labels, scores, users, reduction, weights) == expected
    assert gxauc(labels, scores, users.astype(str), reduction, weights) == expected


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 10**6), st.booleans())
def test_the_order_of_rows_changes_nothing(seed, weighted):
    labels, scores, weights = rows(seed, 40)
    rng = np.random.default_rng(seed)
    users, order = rng.integers(0, 5, 40), rng.permutation(40)
    weights = weights if weighted else np.ones(40)
    shuffled = [column[order] for column in (labels, scores, users, weights)]
    assert xauc(labels, scores, weights) == xauc(*shuffled[:2], shuffled[3])
    assert gxauc(labels, scores, users, "mean", weights) == gxauc(*shuffled[:3], "mean", shuffled[3])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: xauc([1, 2], [1]), r"`labels`, `scores`, `weights` .*scores\.shape=\(1,\)"),
        (lambda: xauc([np.nan, 2], [1, 2]), r"`labels` must be finite\. Received: labels\[0\]=nan"),
        (lambda: xauc([1, 2], [1, np.nan]), r"`scores` must be finite\. Received: scores\[1\]=nan"),
        (lambda: xauc([1, 2], [1, 2], [-1, 1]), r"weights\[0\]=-1"),
        (lambda: gxauc([1, 2], [1, 2], [1]), r"users\.shape=\(1,\)"),
        (lambda: gxauc([1, 2], [1, 2], [1, 1], "sum"), r"reduction='sum'"),
    ],
)
def test_a_bad_argument_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_examples_run():
    result = doctest.testmod(concordance)
    assert result.attempted > 0
    assert result.failed == 0
