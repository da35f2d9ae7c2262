"""XAUC: how well scores order continuous labels such as watch time, over all rows or within users."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_smes.metrics.ranking import ByUser, GroupedResult, Reduction, over_all, share_of, within_users
from keras_smes.metrics.rows import (
    FINITE,
    WEIGHT,
    Vector,
    canonical_order,
    opens_group,
    scaled_by_group,
    sum_before,
    sum_by,
)

Flags = NDArray[np.bool_]
Numbers = NDArray[np.intp]


def xauc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Computes the share of pairs of rows with different labels that the scores order correctly.

    `xauc = mean over pairs (i, j), y[i] > y[j], of 1[s[i] > s[j]] + 1[s[i] = s[j]] / 2`

    Pairs of equal labels don't count; a tie of scores counts half. With labels 0 and 1 this is the AUC. All
    pairs are counted, without sampling, in O(N log N).

    Args:
        labels: `[N]`, finite, in any unit, such as seconds watched.
        scores: `[N]`, finite, in any unit: only their order matters.
        weights: `[N]`, at least 0; a pair counts `w[i] * w[j]`, and rows of weight 0 are ignored, with any
            values. Defaults to `None`, all 1.

    Returns:
        A float in [0, 1]; NaN if all labels are equal.

    Raises:
        ValueError: Lengths differ, or a value is invalid.

    Example:

    >>> round(xauc([5.0, 30.0, 60.0], [0.1, 0.9, 0.5]), 4)  # 60 seconds are scored under 30
    0.6667

    References:
        - [Deconfounding Duration Bias in Watch-time Prediction](https://arxiv.org/abs/2206.06003)
    """
    return over_all(_count_pairs, (labels, FINITE), scores, weights)


def gxauc(
    labels: ArrayLike,
    scores: ArrayLike,
    users: ArrayLike,
    reduction: Reduction = "impressions",
    weights: ArrayLike | None = None,
) -> GroupedResult:
    """Computes the XAUC within each user, averaged over the users that have two different labels.

    `gxauc = sum_u weight[u] * xauc[u] / sum_u weight[u]`

    Args:
        labels: `[N]`, finite, in any unit, such as seconds watched.
        scores: `[N]`, finite, in any unit: only their order within a user matters.
        users: The user of each row, as for `gauc`.
        reduction: The weight of a user, as for `gauc`. Defaults to `"impressions"`.
        weights: As for `xauc`. Defaults to `None`, all 1.

    Returns:
        A `GroupedResult`; users whose labels are all equal are left out.

    Raises:
        ValueError: As `xauc`, or if `reduction` is unknown.

    Example:

    >>> gxauc([5.0, 30.0, 9.0, 7.0, 3.0], [0.1, 0.9, 0.2, 0.4, 0.3], [1, 1, 2, 2, 3])
    GroupedResult(value=0.5, users_used=2, users_left_out=1, rows_used=4, rows_without_user=0)
    """
    return within_users(_count_pairs, (labels, FINITE), scores, users, reduction, (weights, WEIGHT))


def _count_pairs(label_n: Vector, score_n: Vector, weight_n: Vector, user_n: NDArray[Any]) -> ByUser:
    """Counts pairs by user, in the order of the users.

    Sorted by label, and by score among equal labels, the pairs out of order are the inversions of the
    scores; rows of equal labels have none. All other pairs, except ties, are in order.
    """
    by_score = canonical_order(label_n, score_n, user_n, weights=weight_n, others=())
    user_n, score_n, label_n, weight_n = (x[by_score] for x in (user_n, score_n, label_n, weight_n))
    opens_user_n = opens_group(user_n)
    opens_score_n = opens_user_n | opens_group(score_n)
    user_n = np.cumsum(opens_user_n) - 1
    weight_u, positives_u = sum_by(user_n, weight_n), sum_by(user_n, weight_n * (label_n > 0))
    weight_n = scaled_by_group(weight_n, opens_user_n)
    user_of_score = user_n[opens_score_n]
    tied_u = sum_by(user_of_score, _pairs_apart(opens_score_n, opens_group(label_n), weight_n))
    rank_n = np.cumsum(opens_score_n) - 1
    rank_n -= rank_n[opens_user_n][user_n]  # dense ranks of scores, from 0 for each user

    # A stable sort keeps the order of scores among equal labels.
    by_label = np.lexsort((label_n, user_n))
    label_n, weight_n, rank_n = label_n[by_label], weight_n[by_label], rank_n[by_label]
    apart_u = _pairs_apart(opens_user_n, opens_group(label_n), weight_n)
    lost_u = _inversions(rank_n, weight_n, user_n, len(apart_u))
    return ByUser(
        value_u=share_of(apart_u - lost_u - tied_u / 2, apart_u),
        weight_u=weight_u,
        positives_u=positives_u,
        rows_u=np.diff(np.flatnonzero(opens_user_n), append=len(user_n)),
    )


def _pairs_apart(opens_outer_n: Flags, opens_inner_n: Flags, weight_n: Vector) -> Vector:
    """Weight of the pairs of rows in one outer group and in different inner groups, by outer group."""
    opens_n = opens_outer_n | opens_inner_n
    outer_g = (np.cumsum(opens_outer_n) - 1)[opens_n]
    weight_g = sum_by(np.cumsum(opens_n) - 1, weight_n)
    before_g = sum_before(weight_g, opens_outer_n[opens_n])
    return sum_by(outer_g, weight_g * before_g)


def _inversions(rank_n: Numbers, weight_n: Vector, user_n: Numbers, num_users: int) -> Vector:
    """Weight of each user's pairs of rows where the earlier one has the higher rank.

    The ranks of such a pair have equal higher bits, then a 1 in the earlier row and a 0 in the later one.
    From the highest bit down, rows are grouped by the higher bits in their original order: count the
    pairs, then split each group by the bit. That is one pass over the rows per bit, for at most log2(N)
    bits.
    """
    lost_u = np.zeros(num_users)
    group_n = user_n
    for bit in reversed(range(int(rank_n.max(initial=0)).bit_length())):
        one_n = (rank_n >> bit & 1).astype(bool)
        opens_n = opens_group(group_n)
        ones_before_n = sum_before(weight_n * one_n, opens_n)
        lost_u += np.bincount(user_n, np.where(one_n, 0.0, weight_n * ones_before_n), num_users)
        group_n = 2 * (np.cumsum(opens_n) - 1) + one_n
        order = _stable_order(group_n, opens_n, one_n)
        rank_n, weight_n, user_n, group_n = rank_n[order], weight_n[order], user_n[order], group_n[order]
    return lost_u


def _stable_order(group_n: Numbers, opens_n: Flags, one_n: Flags) -> Numbers:
    """Counting sort of rows by their new group: the zeros of a group, then its ones."""
    size_g = np.bincount(group_n, minlength=2 * int(opens_n.sum()))
    start_g = np.cumsum(size_g) - size_g
    ones_n, zeros_n = (sum_before(bit_n.astype(np.intp), opens_n) for bit_n in (one_n, ~one_n))
    order = np.empty(len(group_n), np.intp)
    order[start_g[group_n] + np.where(one_n, ones_n, zeros_n)] = np.arange(len(group_n))
    return order
