"""Selection of the best epoch and early stopping, by one metric of one task."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from keras_smes.validation import check_count, check_one_of, check_weight

TaskMetrics = Mapping[str, Mapping[str, Any]]
OF_REQUESTS = ("request_auc", "request_xauc", "request_ndcg")
MORE, LESS, NEAR_ONE = "more", "less", "near 1"
ORDERS: Mapping[str, str] = {
    **dict.fromkeys(("auc", "gauc", "xauc", "gxauc", "ndcg", *OF_REQUESTS), MORE),
    **dict.fromkeys(("logloss", "calibration_error", "mae", "rmse"), LESS),
    "predicted_over_observed": NEAR_ONE,
}
_AT_THRESHOLD = "auc_at_"  # an ordinal task's AUC at a threshold
_GAINS: Mapping[str, Callable[[float], float]] = {
    MORE: lambda value: value,
    LESS: lambda value: -value,
    NEAR_ONE: lambda value: -abs(value - 1),
}


def gain_of(metric: str) -> Callable[[float], float] | None:
    """Returns a function of the metric's value that is higher for better values; `None` for counts.

    Args:
        metric: Name of the metric. AUCs are better when higher, losses and errors when lower, and
            `"predicted_over_observed"` when closer to 1.

    Example:

    >>> gain = gain_of("predicted_over_observed")
    >>> gain(0.9) > gain(1.5) > gain(0.01)
    True
    """
    order = MORE if metric.startswith(_AT_THRESHOLD) else ORDERS.get(metric)
    return None if order is None else _GAINS[order]


@dataclasses.dataclass(frozen=True)
class MetricOfTask:
    """A metric by which epochs are compared, on the validation rows.

    Args:
        task: Name of the task.
        metric: Name of a metric of `evaluate`: `"auc"`, `"gauc"`, `"logloss"`, `"predicted_over_observed"`
            (1 is best), ... Counts are rejected. Defaults to `"auc"`.
    """

    task: str
    metric: str = "auc"

    def __post_init__(self) -> None:
        if gain_of(self.metric) is None:
            raise ValueError(
                f"`metric` must be one of {list(ORDERS)}, or auc_at_ with a threshold. "
                f"Received: metric={self.metric!r}"
            )

    def of(self, metrics: TaskMetrics) -> float:
        """Returns the value, out of `{task: {metric: value}}`.

        Raises:
            ValueError: The task or metric is missing, or the rows don't define it.
        """
        check_one_of("task", self.task, sorted(metrics))
        known = metrics[self.task]
        check_one_of("metric", self.metric, sorted(known))
        if known[self.metric] is None:
            raise ValueError(
                "The validation rows must define the metric that selects epochs. "
                f"Received: no {self.metric} of task {self.task!r}"
            )
        return float(known[self.metric])

    def is_better(self, new: float, old: float | None, by: float = 0.0) -> bool:
        """Whether `new` is better than `old` by more than `by`; anything is better than `None`."""
        if old is None:
            return True
        gain = gain_of(self.metric)
        assert gain is not None  # validated in __post_init__
        return gain(new) - gain(old) > by


@dataclasses.dataclass(frozen=True)
class EarlyStopping(MetricOfTask):
    """Stops when a metric has not improved for `patience` epochs.

    Args:
        task: Name of the task.
        metric: Name of the metric. Defaults to `"auc"`.
        patience: Epochs without improvement after which training stops. Defaults to `1`.
        min_delta: Minimum change that counts as an improvement. Defaults to `0.0`.
    """

    patience: int = 1
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("patience", self.patience)
        check_weight("min_delta", self.min_delta)


@dataclasses.dataclass(frozen=True)
class Best:
    """The best epoch so far.

    Args:
        epoch: Its number from 0. Defaults to `None`, none yet.
        value: Its value of the metric. Defaults to `None`.
        waited: Number of epochs since. Defaults to `0`.
    """

    epoch: int | None = None
    value: float | None = None
    waited: int = 0

    def after(self, epoch: int, value: float, metric: MetricOfTask) -> "Best":
        """Returns the best epoch after one more; ties go to the earlier epoch."""
        if metric.is_better(value, self.value, getattr(metric, "min_delta", 0.0)):
            return Best(epoch, value)
        return dataclasses.replace(self, waited=self.waited + 1)
