"""Streaming Keras metrics, one per function of this folder."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_smes.metrics.calibration import (
    bins_of_equal_width,
    error_of_sums,
    values_of_bins,
)
from keras_smes.metrics.concordance import gxauc, xauc
from keras_smes.metrics.listwise import check_length, ndcg
from keras_smes.metrics.ranking import GroupedResult, Reduction, auc, check_reduction, gauc, log_loss_of_rows
from keras_smes.metrics.rows import FINITE, LISTED, PROBABILITY, RELEVANCE, Vector
from keras_smes.metrics.streaming import RowMetric, SumMetric
from keras_smes.validation import check_count

serializable = keras.saving.register_keras_serializable(package="keras_smes")


@serializable
class AUC(RowMetric):
    """Area under the ROC curve, exact; see `auc`.

    `keras.metrics.AUC` stores no rows and runs in any graph, but approximates the curve by thresholds.

    Args:
        name: Name of the metric. Defaults to `None`: `"auc"`.
        dtype: See `StreamingMetric`.

    Example:

    >>> metric = AUC()
    >>> metric.update_state([0, 1], [0.1, 0.3])
    >>> metric.update_state([0, 1], [0.3, 0.8])
    >>> metric.result()
    0.875

    In a model:

    >>> model = keras.Sequential([keras.layers.Dense(1, activation="sigmoid")])
    >>> model.compile(loss="binary_crossentropy", metrics=[AUC()])
    """

    NAME = "auc"
    FUNCTION = staticmethod(auc)


@serializable
class XAUC(RowMetric):
    """Share of pairs of rows that scores order like labels such as watch time; see `xauc`.

    Args:
        name: Name of the metric. Defaults to `None`: `"xauc"`.
        dtype: See `StreamingMetric`.
    """

    NAME = "xauc"
    LABELS = FINITE
    FUNCTION = staticmethod(xauc)


class _GroupedMetric(RowMetric):
    """A metric within users, averaged over them."""

    BY_USER = True

    def __init__(
        self, reduction: Reduction = "impressions", name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_reduction(reduction)
        self.reduction: Reduction = reduction

    def details(self) -> GroupedResult:
        """Returns the metric with the users and rows that it covers.

        Returns:
            A `GroupedResult`.
        """
        found: GroupedResult = self.FUNCTION(**self.state(), **self._options())
        return found

    def _options(self) -> dict[str, Any]:
        return {"reduction": self.reduction}

    def _measure(self, **rows: NDArray) -> float:
        return float(self.FUNCTION(**rows, **self._options()).value)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._options()}


@serializable
class GAUC(_GroupedMetric):
    """AUC within each user, averaged over users that have both classes; see `gauc`.

    It is exact for any split of a user's rows into batches and workers. Users of one class are left out;
    `details()` counts them.

    Args:
        reduction: The weight of a user: `"impressions"`, `"mean"` or `"positives"`. Defaults to
            `"impressions"`.
        name: Name of the metric. Defaults to `None`: `"gauc"`.
        dtype: See `StreamingMetric`.

    Example:

    >>> metric, of_other_worker = GAUC(), GAUC()
    >>> metric.update_state([1, 0, 1], [0.9, 0.1, 0.2], users=["ann", "ann", "bob"])
    >>> of_other_worker.update_state([0, 0, 1], [0.4, 0.3, 0.5], users=["bob", "bob", "cy"])
    >>> metric.merge_state([of_other_worker])
    >>> metric.result()
    0.4
    >>> metric.details()
    GroupedResult(value=0.4, users_used=2, users_left_out=1, rows_used=5, rows_without_user=0)
    """

    NAME = "gauc"
    FUNCTION = staticmethod(gauc)


@serializable
class GXAUC(_GroupedMetric):
    """XAUC within each user, averaged over users that have two different labels; see `gxauc`.

    Args:
        reduction: The weight of a user, as for `GAUC`. Defaults to `"impressions"`.
        name: Name of the metric. Defaults to `None`: `"gxauc"`.
        dtype: See `StreamingMetric`.
    """

    NAME = "gxauc"
    LABELS = FINITE
    FUNCTION = staticmethod(gxauc)


@serializable
class NDCG(_GroupedMetric):
    """NDCG of each user's list, averaged over users with a label above 0; see `ndcg`.

    A user's rows may come in any number of batches, unlike in `keras_rs.metrics.NDCG`, which needs
    whole lists in one batch.

    Args:
        k: Number of top rows that count. Defaults to `None`, all rows.
        reduction: The weight of a user, as for `GAUC`. Defaults to `"mean"`.
        name: Name of the metric. Defaults to `None`: `"ndcg"`.
        dtype: See `StreamingMetric`.

    Example:

    >>> metric = NDCG(k=10)
    >>> metric.update_state([1, 0, 0, 1], [0.9, 0.1, 0.8, 0.2], users=[1, 1, 2, 2])
    >>> round(metric.result(), 4)
    0.8155
    """

    NAME = "ndcg"
    LABELS = RELEVANCE
    WEIGHTS = LISTED
    FUNCTION = staticmethod(ndcg)

    def __init__(
        self, k: int | None = None, reduction: Reduction = "mean", name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(reduction, name, dtype)
        check_length(k)
        self.k = k

    def _options(self) -> dict[str, Any]:
        return {"k": self.k, "reduction": self.reduction}


@serializable
class LogLoss(SumMetric):
    """Mean negative log likelihood of binary labels, in nats per row; see `log_loss`.

    Args:
        name: Name of the metric. Defaults to `None`: `"log_loss"`.
        dtype: See `StreamingMetric`.
    """

    NAME = "log_loss"
    SCORES = PROBABILITY

    def _values(self, label_n: Vector, score_n: Vector, weight_n: Vector) -> list[Vector]:
        return [weight_n * log_loss_of_rows(label_n, score_n), weight_n]


@serializable
class PredictedOverObserved(SumMetric):
    """Sum of predictions over sum of labels, 1 where calibrated overall; see `predicted_over_observed`.

    Args:
        name: Name of the metric. Defaults to `None`: `"predicted_over_observed"`.
        dtype: See `StreamingMetric`.
    """

    NAME = "predicted_over_observed"
    LABELS = FINITE

    def _values(self, label_n: Vector, score_n: Vector, weight_n: Vector) -> list[Vector]:
        return [weight_n * score_n, weight_n * label_n]


@serializable
class ExpectedCalibrationError(SumMetric):
    """Mean distance of predicted from observed over bins of equal width; see `expected_calibration_error`.

    Args:
        num_bins: Number of bins. Defaults to `10`.
        name: Name of the metric. Defaults to `None`: `"expected_calibration_error"`.
        dtype: See `StreamingMetric`.
    """

    NAME = "expected_calibration_error"
    SCORES = PROBABILITY
    NUM_SUMS = 3

    def __init__(self, num_bins: int = 10, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.num_bins = check_count("num_bins", num_bins)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_bins": self.num_bins}

    def _values(self, label_n: Vector, score_n: Vector, weight_n: Vector) -> list[Vector]:
        return values_of_bins(label_n, score_n, weight_n)

    def _bins(self, score_n: Vector) -> NDArray[np.intp]:
        return bins_of_equal_width(score_n, self.num_bins)

    def _measure_sums(self, sums: Vector) -> float:
        return float(error_of_sums(sums))
