import doctest
import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from keras_smes.metrics import NDCG, GroupedResult, listwise, ndcg


def rows(seed, count=300, num_users=60):
    """Users of one to some dozens of rows, graded labels, no ties."""
    rng = np.random.default_rng(seed)
    users = (num_users * rng.random(count) ** 3).astype(int) * 7 - 3
    return rng.integers(0, 4, count) * (rng.random(count) < 0.4), rng.permutation(count) / 7, users


def by_scikit_learn(labels, scores, users, k, reduction):
    values, weights, left_out, used_rows = [], [], 0, 0
    for user in sorted(set(users.tolist())):
        mine = users == user
        if not labels[mine].any():
            left_out += 1
            continue
        # scikit-learn refuses lists of one row, whose NDCG is 1 if its label is above 0.
        alone = mine.sum() == 1
        gains = 2.0 ** labels[mine] - 1
        values.append(1.0 if alone else ndcg_score([gains], [scores[mine]], k=k))
        positives = (labels[mine] > 0).sum()
        weights.append({"mean": 1, "impressions": mine.sum(), "positives": positives}[reduction])
        used_rows += int(mine.sum())
    value = pytest.approx(np.average(values, weights=weights), abs=1e-12)
    return GroupedResult(value, len(values), left_out, used_rows)


@pytest.mark.parametrize("k", [None, 1, 5])
@pytest.mark.parametrize("reduction", ["mean", "impressions", "positives"])
def test_ndcg_equals_scikit_learn(k, reduction):
    labels, scores, users = rows(0)
    expected = by_scikit_learn(labels, scores, users, k, reduction)
    assert expected.users_left_out > 0, "the case must leave users out"
    assert ndcg(labels, scores, users, k, reduction) == expected
    assert ndcg(labels, scores, users.astype(str), k, reduction).value == expected.value


def test_ndcg_by_hand():
    # User 1 is in the best order; user 2 has the positive second; user 3 has none.
    found = ndcg([1, 0, 0, 1, 0], [0.9, 0.1, 0.8, 0.2, 0.5], [1, 1, 2, 2, 3])
    assert found == GroupedResult(pytest.approx((1 + 1 / math.log2(3)) / 2, abs=1e-12), 2, 1, 4)
    assert ndcg([1, 0, 0, 1], [0.9, 0.1, 0.8, 0.2], [1, 1, 2, 2], k=1).value == 0.5


def test_ties_are_taken_in_their_worst_order():
    assert ndcg([1, 0, 0], [0.5, 0.5, 0.5], [1, 1, 1]).value == pytest.approx(1 / math.log2(4), abs=1e-12)
    order = np.random.default_rng(0).permutation(300)
    labels, scores, users = rows(0)
    tied = scores.round(-1)
    assert ndcg(labels, tied, users) == ndcg(labels[order], tied[order], users[order])


def test_a_row_of_weight_zero_is_in_no_list():
    found = ndcg([1, 0, np.nan, 1], [0.2, 0.1, 0.8, 0.9], [1, 1, 1, 2], weights=[1, 1, 0, 0])
    assert found == GroupedResult(1.0, 1, 0, 2)


def test_without_a_positive_ndcg_is_nan():
    assert math.isnan(ndcg([], [], []).value)
    assert ndcg([0, 0], [1, 2], [1, 2]).users_left_out == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ndcg([-1], [1], [1]), r"`labels` must be finite and not negative.*labels\[0\]=-1"),
        (lambda: ndcg([1], [np.nan], [1]), r"scores\[0\]=nan"),
        (lambda: ndcg([1], [1], [1, 2]), r"users\.shape=\(2,\)"),
        (lambda: ndcg([1], [1], [1], k=0), r"`k` .*k=0"),
        (lambda: ndcg([1], [1], [1], reduction="sum"), r"reduction='sum'"),
        (lambda: ndcg([1], [1], [1], weights=[0.5]), r"`weights` must be 0 or 1.*weights\[0\]=0\.5"),
        (lambda: NDCG(k=-2), r"k=-2"),
    ],
)
def test_a_bad_argument_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_examples_run():
    result = doctest.testmod(listwise)
    assert result.attempted > 0
    assert result.failed == 0
