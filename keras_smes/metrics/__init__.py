"""Metrics of rankers and routing, over whole data sets.

Functions of arrays (`auc`, ...) and streaming Keras metrics with the same results (`AUC`, ...).
"""

from keras_smes.metrics.calibration import (
    ReliabilityCurve,
    expected_calibration_error,
    predicted_over_observed,
    reliability_curve,
)
from keras_smes.metrics.concordance import gxauc, xauc
from keras_smes.metrics.listwise import ndcg
from keras_smes.metrics.ranking import GroupedResult, auc, gauc, log_loss
from keras_smes.metrics.ranking_evaluation import RankingEvaluation
from keras_smes.metrics.routing_health import RoutingHealth
from keras_smes.metrics.streaming import RowMetric, StreamingMetric, SumMetric
from keras_smes.metrics.streaming_metrics import (
    AUC,
    GAUC,
    GXAUC,
    NDCG,
    XAUC,
    ExpectedCalibrationError,
    LogLoss,
    PredictedOverObserved,
)

__all__ = [
    "AUC",
    "GAUC",
    "GXAUC",
    "NDCG",
    "XAUC",
    "ExpectedCalibrationError",
    "GroupedResult",
    "LogLoss",
    "PredictedOverObserved",
    "RankingEvaluation",
    "ReliabilityCurve",
    "RoutingHealth",
    "RowMetric",
    "StreamingMetric",
    "SumMetric",
    "auc",
    "expected_calibration_error",
    "gauc",
    "gxauc",
    "log_loss",
    "ndcg",
    "predicted_over_observed",
    "reliability_curve",
    "xauc",
]
