"""AUC, AUC within users and log loss of binary labels."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_smes.metrics.ids import of_known
from keras_smes.metrics.rows import (
    BINARY,
    FINITE,
    ID,
    PROBABILITY,
    WEIGHT,
    Rule,
    Vector,
    canonical_order,
    counted,
    opens_group,
    ratio,
    scaled_by_group,
    sum_before,
    sum_by,
)

Reduction = Literal["impressions", "mean", "positives"]

SMALLEST_PROBABILITY = 1e-7  # Keras' epsilon, so that this log loss and Keras' clip alike


@dataclasses.dataclass(frozen=True)
class GroupedResult:
    """A metric within users, averaged over them, and the rows and users that it covers.

    Attributes:
        value: Weighted mean over users, in [0, 1]; NaN if no user has the metric, or if the weights of
            those who have it are all 0.
        users_used: Number of users who have the metric (an AUC: both classes).
        users_left_out: Number of users who don't (an AUC: one class only).
        rows_used: Number of rows of the users used.
        rows_without_user: Number of rows whose user is null, which are left out.
    """

    value: float
    users_used: int
    users_left_out: int
    rows_used: int
    rows_without_user: int = 0


def auc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Computes the area under the ROC curve.

    `auc = mean over pairs (i, j), y[i] = 1, y[j] = 0, of 1[s[i] > s[j]] + 1[s[i] = s[j]] / 2`

    A tie counts half. With weights, a pair counts `w[i] * w[j]`.

    Args:
        labels: `[N]`, each 0 or 1.
        scores: `[N]`, finite, in any unit: only their order matters.
        weights: `[N]`, at least 0; rows of weight 0 are ignored, with any values. Defaults to `None`, all 1.

    Returns:
        A float in [0, 1]; NaN if a class is absent.

    Raises:
        ValueError: Lengths differ, or a value is invalid.

    Example:

    >>> auc([0, 1, 0, 1], [0.1, 0.3, 0.3, 0.8])
    0.875
    """
    return over_all(_count_pairs, (labels, BINARY), scores, weights)


def gauc(
    labels: ArrayLike,
    scores: ArrayLike,
    users: ArrayLike,
    reduction: Reduction = "impressions",
    weights: ArrayLike | None = None,
) -> GroupedResult:
    """Computes the AUC within each user, averaged over the users that have both classes.

    `gauc = sum_u weight[u] * auc[u] / sum_u weight[u]`

    Users whose rows are all positive or all negative have no AUC; they are left out and counted.

    Args:
        labels: `[N]`, each 0 or 1.
        scores: `[N]`, finite, in any unit: only their order within a user matters.
        users: `[N]`, integers (faster) or strings: the user of each row, in any order of rows; rows of a
            null user (`None`, NaN) are left out and counted.
        reduction: The weight of a user: `"impressions"` for the number of the user's rows, `"mean"` for 1,
            `"positives"` for the number of the user's rows with a label above 0. Rows with weights count
            their weight. Defaults to `"impressions"`.
        weights: `[N]`, at least 0; rows of weight 0 are ignored, with any values. Defaults to `None`, all 1.

    Returns:
        A `GroupedResult`.

    Raises:
        ValueError: Lengths differ, or a value or `reduction` is invalid.

    Example:

    >>> gauc([1, 0, 1, 0, 0, 1], [0.9, 0.1, 0.2, 0.4, 0.3, 0.5], ["ann", "ann", "bob", "bob", "bob", "cy"])
    GroupedResult(value=0.4, users_used=2, users_left_out=1, rows_used=5, rows_without_user=0)
    """
    return within_users(_count_pairs, (labels, BINARY), scores, users, reduction, (weights, WEIGHT))


def log_loss(labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Computes the mean negative log likelihood of binary labels.

    `log_loss = -mean over n of (y[n] * log(p[n]) + (1 - y[n]) * log(1 - p[n]))`, a mean weighted by `w[n]`,
    with p clipped to [1e-7, 1 - 1e-7], so that a confident mistake stays finite.

    Args:
        labels: `[N]`, each 0 or 1.
        probabilities: `[N]`, in [0, 1]: the predicted probability of label 1.
        weights: `[N]`, at least 0; rows of weight 0 are ignored, with any values. Defaults to `None`, all 1.

    Returns:
        A float in nats per row; NaN if there are no rows.

    Raises:
        ValueError: Lengths differ, or a value is invalid.

    Example:

    >>> round(log_loss([1, 0], [0.5, 0.5]), 6)
    0.693147
    """
    label_n, probability_n, weight_n = counted(
        labels=(labels, BINARY), probabilities=(probabilities, PROBABILITY), weights=(weights, WEIGHT)
    )
    if not len(label_n):
        return float("nan")
    return float(np.average(log_loss_of_rows(label_n, probability_n), weights=weight_n))


def log_loss_of_rows(label_n: Vector, probability_n: Vector) -> Vector:
    clipped_n = np.clip(probability_n.astype(np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return -np.log(np.where(label_n == 1, clipped_n, 1 - clipped_n))


def check_reduction(reduction: str) -> None:
    if reduction not in get_args(Reduction):
        raise ValueError(
            f"`reduction` must be one of {get_args(Reduction)}. Received: reduction={reduction!r}"
        )


class ByUser(NamedTuple):
    """Each user's metric (NaN where undefined), weight, weight of labels above 0, and rows."""

    value_u: Vector
    weight_u: NDArray[Any]
    positives_u: Vector
    rows_u: NDArray[np.intp]

    def averaged(self, reduction: Reduction, unknown: int) -> GroupedResult:
        """Averages the metric over the users that have it; `unknown` rows belong to no user."""
        used_u = ~np.isnan(self.value_u)
        weights_u = {"impressions": self.weight_u, "positives": self.positives_u}
        weights = weights_u.get(reduction, np.ones(len(used_u)))[used_u]
        return GroupedResult(
            value=float(np.average(self.value_u[used_u], weights=weights)) if weights.any() else float("nan"),
            users_used=int(used_u.sum()),
            users_left_out=int((~used_u).sum()),
            rows_used=int(self.rows_u[used_u].sum()),
            rows_without_user=unknown,
        )


Metric = Callable[[Vector, Vector, Vector, NDArray[Any]], ByUser]  # of labels, scores, weights and users
Column = tuple[ArrayLike | None, Rule]


def over_all(metric: Metric, labels: Column, scores: ArrayLike, weights: ArrayLike | None) -> float:
    """Computes a metric of all rows, as if they were those of one user."""
    label_n, score_n, weight_n = counted(labels=labels, scores=(scores, FINITE), weights=(weights, WEIGHT))
    value_u = metric(label_n, score_n, weight_n, np.zeros(len(label_n), np.int8)).value_u
    return float(value_u[0]) if len(value_u) else float("nan")


def within_users(
    metric: Metric, labels: Column, scores: ArrayLike, users: ArrayLike, reduction: Reduction, weights: Column
) -> GroupedResult:
    """Computes a metric of each user's rows, averaged over users."""
    check_reduction(reduction)
    label_n, score_n, user_n, weight_n = counted(
        labels=labels, scores=(scores, FINITE), users=(users, ID), weights=weights
    )
    user_n, (label_n, score_n, weight_n), unknown = of_known(user_n, label_n, score_n, weight_n)
    return metric(label_n, score_n, weight_n, user_n).averaged(reduction, unknown)


def share_of(won_u: Vector, every_u: Vector) -> Vector:
    """Share of pairs in order, NaN without pairs, clipped to [0, 1] against rounding."""
    return ratio(np.clip(won_u, 0, every_u), every_u)


def _count_pairs(label_n: Vector, score_n: Vector, weight_n: Vector, user_n: NDArray[Any]) -> ByUser:
    """Counts pairs by user, in the order of the users; a tie counts half."""
    order = canonical_order(score_n, user_n, weights=weight_n, others=(label_n,))
    return pairs_of_sorted(label_n[order], score_n[order], weight_n[order], user_n[order])


def pairs_of_sorted(label_n: Vector, score_n: Vector, weight_n: Vector, user_n: NDArray[Any]) -> ByUser:
    """Counts pairs of rows that are sorted by user, and by score within a user.

    The counts are float64, which holds halves exactly up to 2**52 pairs.
    """
    opens_user_n = opens_group(user_n)
    opens_n = opens_user_n | opens_group(score_n)
    tie_n = np.cumsum(opens_n) - 1  # g: groups of rows with the same user and score
    user_n = np.cumsum(opens_user_n) - 1
    user_g = user_n[opens_n]
    scaled_n = scaled_by_group(weight_n, opens_user_n)
    positives_g, negatives_g = sum_by(tie_n, label_n * scaled_n), sum_by(tie_n, (1 - label_n) * scaled_n)
    below_g = sum_before(negatives_g, opens_user_n[opens_n])
    won_u = sum_by(user_g, positives_g * (below_g + negatives_g / 2))
    return ByUser(
        value_u=share_of(won_u, sum_by(user_g, positives_g) * sum_by(user_g, negatives_g)),
        weight_u=sum_by(user_n, weight_n),
        positives_u=sum_by(user_n, label_n * weight_n),
        rows_u=np.diff(np.flatnonzero(opens_user_n), append=len(user_n)),
    )
