"""Padded lists of rows, one per user, and NDCG over them by keras-rs."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from keras_smes.metrics.ids import as_ids, of_known
from keras_smes.metrics.ranking import GroupedResult, Reduction, average_over_users, check_reduction
from keras_smes.metrics.rows import FINITE, ID, LISTED, RELEVANCE, counted, opens_group, sum_by
from keras_smes.validation import check_count

CELLS = 2**22  # per padded batch of lists: 16 MiB per tensor


@dataclasses.dataclass(frozen=True)
class UserLists:
    """Lists of some users, padded to one length.

    Attributes:
        users: `[U]` int, index of the user among the sorted users.
        labels: `[U, L]` float32, best score first; 0 where padded.
        scores: `[U, L]` float32, their order as integers, without ties: `0, -1, -2, ...`.
        mask: `[U, L]` bool, false where padded.
    """

    users: NDArray[np.intp]
    labels: NDArray[np.float32]
    scores: NDArray[np.float32]
    mask: NDArray[np.bool_]


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
    order, computed by keras-rs. Users without a label above 0 are left out and counted. Rows of equal scores
    are taken in their worst order: the result is independent of the order of rows.

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
        ImportError: keras-rs is missing.

    Example:

    >>> round(ndcg([1, 0, 0, 1], [0.9, 0.1, 0.8, 0.2], [1, 1, 2, 2]).value, 4)  # 1 and 1 / log2(3)
    0.8155

    References:
        - [Cumulated gain-based evaluation of IR techniques](https://doi.org/10.1145/582415.582418)
    """
    check_reduction(reduction)
    metric = keras_rs_ndcg(k)
    label_n, score_n, user_n, _ = counted(
        labels=(labels, RELEVANCE), scores=(scores, FINITE), users=(users, ID), weights=(weights, LISTED)
    )
    user_n, (label_n, score_n), unknown = of_known(user_n, label_n, score_n)
    _, user_n = np.unique(user_n, return_inverse=True)
    rows_u, positives_u = np.bincount(user_n), sum_by(user_n, label_n > 0)
    ndcg_u = np.full(len(rows_u), np.nan)
    for lists in user_lists(_gains(label_n, user_n, len(rows_u)), score_n, user_n):
        ndcg_u[lists.users] = _ndcg_of_lists(metric, lists)
    ndcg_u[positives_u == 0] = np.nan
    weights_u: dict[str, NDArray[Any]] = {"impressions": rows_u, "positives": positives_u}
    return average_over_users(ndcg_u, weights_u.get(reduction), rows_u, unknown)


def user_lists(labels: ArrayLike, scores: ArrayLike, users: ArrayLike) -> Iterator[UserLists]:
    """Yields padded lists of rows, one list per user, best score first.

    Users with lists of similar length share a batch, padded to a power of 2, so that a long list does
    not pad short ones. A batch holds at most 4 M cells, or one list.

    Args:
        labels: `[N]`, the relevance.
        scores: `[N]`: ties are ordered by label, lowest first.
        users: `[N]`: the user of each row, as for `gauc`; rows of a null user are left out.

    Yields:
        `UserLists`, until each user has one list.

    Example:

    >>> [lists] = user_lists([1, 0, 0, 1], [0.2, 0.9, 0.4, 0.7], ["ann", "ann", "bob", "bob"])
    >>> lists.labels.tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    ids, of_rows = as_ids("users", users), (np.asarray(labels), np.asarray(scores))
    user_n, (label_n, score_n), _ = of_known(ids, *of_rows)
    order = np.lexsort((label_n, -score_n, user_n))
    label_n, starts = label_n[order], np.flatnonzero(opens_group(user_n[order]))
    size_u = np.diff(starts, append=len(label_n))
    octave_u = np.ceil(np.log2(size_u)).astype(int)
    for octave in np.unique(octave_u):
        of_octave = np.flatnonzero(octave_u == octave)
        for part in np.array_split(of_octave, -(-len(of_octave) * 2**octave // CELLS)):
            position_l = np.arange(2**octave)
            mask_ul = position_l < size_u[part, None]
            row_ul = np.where(mask_ul, starts[part, None] + position_l, 0)
            labels_ul = np.where(mask_ul, label_n[row_ul], 0).astype(np.float32)
            scores_ul = np.broadcast_to(-position_l.astype(np.float32), mask_ul.shape)
            yield UserLists(part, labels_ul, scores_ul, mask_ul)


def keras_rs_ndcg(k: int | None) -> Any:
    """Returns keras-rs' metric of given gains. It shuffles ties, of which `user_lists` has none."""
    if k is not None:
        check_count("k", k)
    try:
        from keras_rs.metrics import NDCG
    except ImportError as error:
        raise ImportError("NDCG needs keras-rs: pip install 'keras_smes[ranking]'") from error
    return NDCG(k=k, gain_fn=lambda gains: gains)


def _gains(label_n: NDArray[Any], user_n: NDArray[np.intp], num_users: int) -> NDArray[Any]:
    """Gains `2**y - 1` over the user's `2**max(y)`: the same NDCG, without overflow of float32."""
    highest_u = np.zeros(num_users)
    np.maximum.at(highest_u, user_n, label_n)
    return -np.expm1(-label_n * np.log(2.0)) * np.exp2(label_n - highest_u[user_n])


def _ndcg_of_lists(metric: Any, lists: UserLists) -> NDArray:
    labels, scores, mask = (ops.convert_to_tensor(x) for x in (lists.labels, lists.scores, lists.mask))
    ndcg_u1, _ = metric.compute_metric(labels, scores, mask, ops.cast(mask, "float32"))
    return ops.convert_to_numpy(ndcg_u1)[:, 0].astype(np.float64)
