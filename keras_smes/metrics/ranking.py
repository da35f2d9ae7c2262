"""How well scores rank and predict binary labels: AUC, AUC within users, log loss."""

import dataclasses
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Reduction = Literal["impressions", "mean", "positives"]

SMALLEST_PROBABILITY = 1e-7  # Keras' epsilon, so that this log loss and Keras' clip alike

Vector = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class GAUC:
    """The AUC within users, and how much of the data it speaks for.

    Attributes:
        value: The weighted mean of the users' AUCs, in [0, 1]; NaN if no user has both classes.
        users_used: Number of users with both classes.
        users_left_out: Number of users with one class only, who have no AUC.
        rows_used: Number of rows of the users used.
    """

    value: float
    users_used: int
    users_left_out: int
    rows_used: int


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Computes the area under the ROC curve.

    It is the share of (positive, negative) pairs of rows that the scores put in order, where a
    tie counts half:

    `auc = mean over pairs (i, j), y[i] = 1, y[j] = 0, of 1[s[i] > s[j]] + 1[s[i] = s[j]] / 2`

    Args:
        labels: `[N]`, each 0 or 1.
        scores: `[N]`, finite, in any unit: only their order matters.

    Returns:
        A float in [0, 1]; NaN if a class is absent.

    Raises:
        ValueError: If lengths differ, a label is neither 0 nor 1, or a score is not finite.

    Example:

    >>> from keras_smes.metrics import auc
    >>> auc([0, 1, 0, 1], [0.1, 0.3, 0.3, 0.8])
    0.875
    """
    label_n, score_n = _labels_and_scores(labels, scores)
    counts = _count_pairs(label_n, score_n, np.zeros(len(label_n), np.intp))
    positives, negatives, won = (float(count_u.sum()) for count_u in counts)
    pairs = positives * negatives
    return won / pairs if pairs else float("nan")


def gauc(
    labels: ArrayLike, scores: ArrayLike, users: ArrayLike, reduction: Reduction = "impressions"
) -> GAUC:
    """Computes the AUC within each user, averaged over the users that have both classes.

    `gauc = sum_u weight[u] * auc[u] / sum_u weight[u]`

    A user whose rows are all positive or all negative has no AUC: such users are left out,
    counted and reported.

    Args:
        labels: `[N]`, each 0 or 1.
        scores: `[N]`, finite, in any unit: only their order within a user matters.
        users: `[N]`, integers or strings: whose row it is. Rows may come in any order.
        reduction: The weight of a user: `"impressions"` for the number of the user's rows,
            `"mean"` for 1, `"positives"` for the number of the user's positive rows.
            Defaults to `"impressions"`.

    Returns:
        A `GAUC` with `value`, `users_used`, `users_left_out` and `rows_used`.

    Raises:
        ValueError: If lengths differ, a label is neither 0 nor 1, a score is not finite, or
            `reduction` is unknown.

    Example:

    >>> from keras_smes.metrics import gauc
    >>> gauc([1, 0, 1, 0, 0, 1], [0.9, 0.1, 0.2, 0.4, 0.3, 0.5], ["ann", "ann", "bob", "bob", "bob", "cy"])
    GAUC(value=0.4, users_used=2, users_left_out=1, rows_used=5)
    """
    if reduction not in get_args(Reduction):
        raise ValueError(
            f"`reduction` must be one of {get_args(Reduction)}. Received: reduction={reduction!r}"
        )
    label_n, score_n = _labels_and_scores(labels, scores)
    user_n = np.asarray(users)
    _check_lengths(labels=label_n, users=user_n)
    _, user_n = np.unique(user_n, return_inverse=True)
    positives_u, negatives_u, won_u = _count_pairs(label_n, score_n, user_n)
    rows_u = positives_u + negatives_u
    weight_u = {"impressions": rows_u, "mean": np.ones_like(rows_u), "positives": positives_u}[reduction]
    used_u = (positives_u > 0) & (negatives_u > 0)
    auc_u = won_u[used_u] / (positives_u * negatives_u)[used_u]
    return GAUC(
        value=float(np.average(auc_u, weights=weight_u[used_u])) if auc_u.size else float("nan"),
        users_used=int(used_u.sum()),
        users_left_out=int((~used_u).sum()),
        rows_used=int(rows_u[used_u].sum()),
    )


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Computes the mean negative log likelihood of binary labels.

    `log_loss = -mean over n of (y[n] * log(p[n]) + (1 - y[n]) * log(1 - p[n]))`

    with p clipped to [1e-7, 1 - 1e-7], so that one confident mistake can't make it infinite.

    Args:
        labels: `[N]`, each 0 or 1.
        probabilities: `[N]`, in [0, 1]: the predicted chance of label 1.

    Returns:
        A float in nats per row; NaN if there are no rows.

    Raises:
        ValueError: If lengths differ, a label is neither 0 nor 1, or a probability is outside [0, 1].

    Example:

    >>> from keras_smes.metrics import log_loss
    >>> round(log_loss([1, 0], [0.5, 0.5]), 6)
    0.693147
    """
    label_n, probability_n = _binary(labels), np.asarray(probabilities, np.float64)
    _check_lengths(labels=label_n, probabilities=probability_n)
    inside_n = (probability_n >= 0) & (probability_n <= 1)
    _check_rows("probabilities", probability_n, inside_n, "in [0, 1]")
    if not len(label_n):
        return float("nan")
    clipped_n = np.clip(probability_n, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return float(-np.log(np.where(label_n == 1, clipped_n, 1 - clipped_n)).mean())


def _count_pairs(label_n: Vector, score_n: Vector, user_n: NDArray[np.intp]) -> tuple[Vector, Vector, Vector]:
    """Counts each user's positives, negatives and (positive, negative) pairs in order, a tie as half.

    `user_n` numbers the users 0, 1, ... without gaps. The counts are float64, which holds halves
    exactly up to 2**52 pairs.
    """
    order = np.lexsort((score_n, user_n))
    label_n, score_n, user_n = label_n[order], score_n[order], user_n[order]
    opens_n = np.ones(len(order), bool)  # where a new user, or a new score of the same user, begins
    opens_n[1:] = (user_n[1:] != user_n[:-1]) | (score_n[1:] != score_n[:-1])
    tie_n = np.cumsum(opens_n) - 1
    user_g = user_n[opens_n]  # g runs over groups of rows with the same user and score
    positives_g, negatives_g = _sum_by(tie_n, label_n), _sum_by(tie_n, 1 - label_n)
    positives_u, negatives_u = _sum_by(user_g, positives_g), _sum_by(user_g, negatives_g)
    of_users_before_u = np.cumsum(negatives_u) - negatives_u
    below_g = np.cumsum(negatives_g) - negatives_g - of_users_before_u[user_g]
    won_u = _sum_by(user_g, positives_g * (below_g + negatives_g / 2))
    return positives_u, negatives_u, won_u


def _sum_by(group_x: NDArray[np.intp], value_x: Vector) -> Vector:
    return np.bincount(group_x, value_x).astype(np.float64, copy=False)


def _labels_and_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[Vector, Vector]:
    label_n, score_n = _binary(labels), np.asarray(scores, np.float64)
    _check_lengths(labels=label_n, scores=score_n)
    _check_rows("scores", score_n, np.isfinite(score_n), "finite")
    return label_n, score_n


def _binary(labels: ArrayLike) -> Vector:
    label_n = np.asarray(labels, np.float64)
    _check_lengths(labels=label_n)
    _check_rows("labels", label_n, (label_n == 0) | (label_n == 1), "0 or 1")
    return label_n


def _check_rows(name: str, value_n: Vector, good_n: NDArray[np.bool_], rule: str) -> None:
    bad = np.flatnonzero(~good_n)
    if bad.size:
        raise ValueError(f"`{name}` must be {rule}. Received: {name}[{bad[0]}]={value_n[bad[0]]}")


def _check_lengths(**arrays: NDArray) -> None:
    if any(array.ndim != 1 for array in arrays.values()) or len({len(a) for a in arrays.values()}) > 1:
        names = " and ".join(f"`{name}`" for name in arrays)
        shapes = ", ".join(f"{name}.shape={array.shape}" for name, array in arrays.items())
        raise ValueError(f"{names} must have one dimension and equal lengths. Received: {shapes}")
