"""Calibration: predicted over observed, and the expected calibration error."""

import dataclasses
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_smes.metrics.rows import (
    BINARY,
    FINITE,
    PROBABILITY,
    WEIGHT,
    Vector,
    canonical_order,
    counted,
    opens_group,
    ratio,
)
from keras_smes.validation import check_count

Binning = Literal["width", "mass"]


@dataclasses.dataclass(frozen=True)
class ReliabilityCurve:
    """Mean prediction and observed share of positives by bin of predicted probability.

    Attributes:
        predicted: `[bins]`, mean predicted probability; NaN for an empty bin.
        observed: `[bins]`, share of positives; NaN for an empty bin.
        weight: `[bins]`, number of rows, or the sum of their weights.
    """

    predicted: Vector
    observed: Vector
    weight: Vector


def predicted_over_observed(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Computes the ratio of the sum of predictions to the sum of labels: 1 is calibrated overall.

    `ratio = sum_n w[n] * p[n] / sum_n w[n] * y[n]`

    Args:
        labels: `[N]`, finite: 0 or 1, or a quantity such as seconds watched.
        predictions: `[N]`, finite, in the unit of the labels; probabilities for labels of 0 and 1.
        weights: `[N]`, at least 0; rows of weight 0 are ignored, with any values. Defaults to `None`, all 1.

    Returns:
        A float: above 1 where too much is predicted; NaN if the labels sum to 0.

    Raises:
        ValueError: Lengths differ, or a value is invalid.

    Example:

    >>> predicted_over_observed([1, 0, 0, 1], [0.9, 0.5, 0.3, 0.8])
    1.25
    """
    label_n, prediction_n, weight_n = counted(
        labels=(labels, FINITE), predictions=(predictions, FINITE), weights=(weights, WEIGHT)
    )
    return float(ratio((weight_n * prediction_n).sum(), (weight_n * label_n).sum()))


def reliability_curve(
    labels: ArrayLike,
    probabilities: ArrayLike,
    num_bins: int = 10,
    binning: Binning = "width",
    weights: ArrayLike | None = None,
) -> ReliabilityCurve:
    """Bins rows by predicted probability, and compares predicted and observed values per bin.

    Args:
        labels: `[N]`, each 0 or 1.
        probabilities: `[N]`, in [0, 1]: the predicted probability of label 1.
        num_bins: Number of bins. Defaults to `10`.
        binning: `"width"` for bins of equal width, `((i - 1) / bins, i / bins]` and 0 in the first;
            `"mass"` for bins of (nearly) equally many rows, where rows of equal probability share
            the bin of the first of them. Defaults to `"width"`.
        weights: `[N]`, at least 0; rows of weight 0 are ignored, with any values. Defaults to `None`, all 1.

    Returns:
        A `ReliabilityCurve`.

    Raises:
        ValueError: Lengths differ, or a value, `num_bins` or `binning` is invalid.

    Example:

    >>> reliability_curve([0, 0, 1, 1], [0.1, 0.3, 0.5, 0.9], num_bins=2).observed.round(2)
    array([0.33, 1.  ])
    """
    return curve_of_sums(_sums_of_bins(labels, probabilities, num_bins, binning, weights))


def expected_calibration_error(
    labels: ArrayLike,
    probabilities: ArrayLike,
    num_bins: int = 10,
    binning: Binning = "width",
    weights: ArrayLike | None = None,
) -> float:
    """Computes the mean distance of predicted from observed, over bins of predicted probability.

    `ece = sum_i weight[i] / sum weight * |observed[i] - predicted[i]|`, with the bins of
    `reliability_curve`.

    Args:
        labels: `[N]`, each 0 or 1.
        probabilities: `[N]`, in [0, 1]: the predicted probability of label 1.
        num_bins: Number of bins. Defaults to `10`.
        binning: `"width"` or `"mass"`; see `reliability_curve`. Where positives are rare, nearly all
            rows lie in the first bin of equal width, and `"mass"` is more informative. Defaults to `"width"`.
        weights: `[N]`, at least 0; rows of weight 0 are ignored, with any values. Defaults to `None`, all 1.

    Returns:
        A float in [0, 1]; NaN if there are no rows.

    Raises:
        ValueError: As `reliability_curve`.

    Example:

    >>> round(expected_calibration_error([0, 0, 1, 1], [0.1, 0.3, 0.5, 0.9], num_bins=2), 4)
    0.05

    References:
        - [On Calibration of Modern Neural Networks](https://arxiv.org/abs/1706.04599)
    """
    return float(error_of_sums(_sums_of_bins(labels, probabilities, num_bins, binning, weights)))


def _sums_of_bins(
    labels: ArrayLike, probabilities: ArrayLike, num_bins: int, binning: Binning, weights: ArrayLike | None
) -> Vector:
    """Sums of weights, of predictions and of labels by bin, `[3, bins]`."""
    check_count("num_bins", num_bins)
    if binning not in get_args(Binning):
        raise ValueError(f"`binning` must be one of {get_args(Binning)}. Received: binning={binning!r}")
    label_n, probability_n, weight_n = counted(
        labels=(labels, BINARY), probabilities=(probabilities, PROBABILITY), weights=(weights, WEIGHT)
    )
    order = canonical_order(probability_n, weights=weight_n, others=(label_n,))
    label_n, probability_n, weight_n = label_n[order], probability_n[order], weight_n[order]
    if binning == "mass":
        bin_n = _bins_of_equal_mass(probability_n, weight_n, num_bins)
    else:
        bin_n = bins_of_equal_width(probability_n, num_bins)
    return sums_of_bins(label_n, probability_n, weight_n, bin_n, num_bins)


def curve_of_sums(sums: Vector) -> ReliabilityCurve:
    """The reliability curve of sums `[3, bins]`."""
    weight_i, predicted_i, observed_i = sums
    return ReliabilityCurve(ratio(predicted_i, weight_i), ratio(observed_i, weight_i), weight_i)


def error_of_sums(sums: NDArray[Any]) -> Vector:
    """The expected calibration error of sums `[3, ..., bins]`."""
    weight, predicted, observed = sums
    return ratio(np.abs(observed - predicted).sum(axis=-1), weight.sum(axis=-1))


def sums_of_bins(
    label_n: Vector, probability_n: Vector, weight_n: Vector, bin_n: NDArray[np.intp], size: int
) -> Vector:
    """Sums of weights, of predictions and of labels by bin, `[3, bins]`."""
    values = values_of_bins(label_n, probability_n, weight_n)
    return np.stack([np.bincount(bin_n, value_n, size) for value_n in values])


def values_of_bins(label_n: Vector, probability_n: Vector, weight_n: Vector) -> list[Vector]:
    return [weight_n, weight_n * probability_n, weight_n * label_n]


def bins_of_equal_width(probability_n: Vector, num_bins: int) -> NDArray[np.intp]:
    inner_edges = np.arange(1, check_count("num_bins", num_bins)) / num_bins
    return np.searchsorted(inner_edges, probability_n)


def _bins_of_equal_mass(probability_n: Vector, weight_n: Vector, num_bins: int) -> NDArray[np.intp]:
    """Bins of sorted rows, by the share of weight below the row's probability."""
    opens_n = opens_group(probability_n)
    before_n = np.cumsum(weight_n) - weight_n
    total = before_n[-1] + weight_n[-1] if len(weight_n) else 1.0
    bin_g = np.floor(before_n[opens_n] / total * num_bins).astype(np.intp)
    return np.minimum(bin_g, num_bins - 1)[np.cumsum(opens_n) - 1]
