"""NDCG of each user's list."""

import functools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_smes.metrics.ranking import ByUser, GroupedResult, Reduction, within_users
from keras_smes.metrics.rows import LISTED, RELEVANCE, Vector, opens_group, ratio, sum_by
from keras_smes.validation import check_count


def ndcg(
    labels: ArrayLike,
    scores: ArrayLike,
    users: ArrayLike,
    k: int | None = None,
    reduction: Reduction = "mean",
    weights: ArrayLike | None = None,
) -> GroupedResult:
    """Computes the normalized discounted cumulative gain of each user's list, averaged over users.

    `ndcg[u] = sum_i (2**y[i] - 1) / log2(i + 1)` over the first k rows by score, over the same of the best
    order. Users without a label above 0 are left out and counted. Rows of equal scores are taken in their
    worst order: the result is independent of the order of rows.

    Args:
        labels: `[N]`, at least 0: the relevance.
        scores: `[N]`, finite, in any unit: only their order within a user matters.
        users: The user of each row, as for `gauc`.
        k: Number of top rows that count. Defaults to `None`, all rows.
        reduction: The weight of a user, as for `gauc`. Defaults to `"mean"`.
        weights: `[N]`, 0 or 1: rows of weight 0 are excluded from the list. Defaults to `None`, all 1.

    Returns:
        A `GroupedResult`.

    Raises:
        ValueError: Lengths differ, or a value, `k` or `reduction` is invalid.

    Example:

    >>> round(ndcg([1, 0, 0, 1], [0.9, 0.1, 0.8, 0.2], [1, 1, 2, 2]).value, 4)  # 1 and 1 / log2(3)
    0.8155

    References:
        - [Cumulated gain-based evaluation of IR techniques](https://doi.org/10.1145/582415.582418)
    """
    check_length(k)
    metric = functools.partial(_ndcg, k)
    return within_users(metric, (labels, RELEVANCE), scores, users, reduction, (weights, LISTED))


def _ndcg(k: int | None, label_n: Vector, score_n: Vector, weight_n: Vector, user_n: NDArray[Any]) -> ByUser:
    """NDCG by user; the weights are all 1."""
    _, user_n = np.unique(user_n, return_inverse=True)
    rows_u, positives_u = np.bincount(user_n), sum_by(user_n, label_n > 0)
    gain_n = _gains(label_n, user_n, len(rows_u))
    by_score, by_gain = np.lexsort((label_n, -score_n, user_n)), np.lexsort((-label_n, user_n))
    dcg_u, best_u = (_dcg(gain_n[order], user_n[order], k) for order in (by_score, by_gain))
    return ByUser(ratio(dcg_u, best_u), rows_u, positives_u, rows_u)


def check_length(k: int | None) -> None:
    """Rejects a number of top rows that is no number."""
    if k is not None:
        check_count("k", k)


def _gains(label_n: NDArray[Any], user_n: NDArray[np.intp], num_users: int) -> Vector:
    """Gains `2**y - 1` over the user's `2**max(y)`: the same NDCG, without overflow."""
    highest_u = np.zeros(num_users)
    np.maximum.at(highest_u, user_n, label_n)
    return -np.expm1(-label_n * np.log(2.0)) * np.exp2(label_n - highest_u[user_n])


def _dcg(gain_n: Vector, user_n: NDArray[np.intp], k: int | None) -> Vector:
    """The discounted cumulative gain of each user, whose rows are neighbours, the top row first."""
    rank_n = np.arange(len(gain_n)) - np.flatnonzero(opens_group(user_n))[user_n]
    counts_n = rank_n < (len(gain_n) if k is None else k)
    return sum_by(user_n, np.where(counts_n, gain_n / np.log2(rank_n + 2), 0.0))
