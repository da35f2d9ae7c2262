"""Quality gate of an export: bounds of a metric, absolute and relative to the served version."""

import dataclasses
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_smes.data.column_types import to_numpy
from keras_smes.data.interactions import Interactions
from keras_smes.data.rows import Rows
from keras_smes.export.model_card import read_card
from keras_smes.export.publish import newest
from keras_smes.training.evaluate import score_metrics
from keras_smes.training.loop.selection import MetricOfTask, TaskMetrics
from keras_smes.validation import check_number, check_weight

BATCH = 4096
SIGNATURE = "serving_default"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a model may be exported, and why.

    Args:
        passed: Whether it may.
        reason: The metrics that decided.
    """

    passed: bool
    reason: str


@dataclasses.dataclass(frozen=True)
class QualityGate:
    """Bounds of a metric on the test rows, which a model must meet to be exported.

    Args:
        metric: A `MetricOfTask`.
        at_least: The worst accepted value: the minimum of an AUC, the maximum of a log loss. For
            `predicted_over_observed`, where 1 is best, the largest distance from 1 on either side: 1.05 means
            0.95 to 1.05. Defaults to `None`, any.
        within: Largest accepted deterioration from the version exported before, on the same rows. Without
            such a version this passes. Defaults to `None`, any.

    Raises:
        ValueError: Neither `at_least` nor `within` is given, or one is no such number.

    Example:

    >>> gate = QualityGate(MetricOfTask("click", "auc"), at_least=0.7, within=0.002)
    >>> gate.judge({"click": {"auc": 0.71}}, {"click": {"auc": 0.72}}).reason
    'click auc 0.7100, at least 0.7000; before 0.7200, worse by more than 0.0020'
    """

    metric: MetricOfTask
    at_least: float | None = None
    within: float | None = None

    def __post_init__(self) -> None:
        if self.at_least is None and self.within is None:
            raise ValueError("A gate needs `at_least` or `within`. Received: at_least=None, within=None")
        if self.at_least is not None:
            check_number("at_least", self.at_least)
        if self.within is not None:
            check_weight("within", self.within)

    def judge(self, metrics: TaskMetrics, previous: TaskMetrics | None = None) -> Verdict:
        """Judges metrics `{task: {metric: value}}`, also against the previous version's on the same rows."""
        try:
            value = self.metric.of(metrics)
            before = None if previous is None else self.metric.of(previous)
        except ValueError as error:  # a missing metric fails the gate
            return Verdict(False, str(error))
        reasons, passed = [f"{self.metric.task} {self.metric.metric} {value:.4f}"], True
        if self.at_least is not None:
            met = not self.metric.is_better(self.at_least, value)
            words = "at least" if met else "not"
            reasons[0] += f", {words} {self.at_least:.4f}"
            passed &= met
        if self.within is not None and before is not None:
            met = not self.metric.is_better(before, value, by=self.within)
            words = "not worse" if met else "worse"
            reasons.append(f"before {before:.4f}, {words} by more than {self.within:.4f}")
            passed &= met
        return Verdict(passed, "; ".join(reasons))


def metrics_of_newest(model_folder: str | Path, rows: Rows) -> dict[str, Any] | None:
    """Returns the metrics of the newest exported version on the rows.

    Returns:
        The metrics of each task that both have; `None` if there is no version.

    Raises:
        ValueError: The rows lack a feature of the version, or its feature tables include them.
    """
    served = newest(Path(model_folder))
    if served is None:
        return None
    _check_unknown(served, rows)
    scores = _score(served, rows)
    tasks = [task for task in rows.tasks if task.name in scores]
    return score_metrics(tasks, scores, rows.labels(), rows.user_ids(), rows.request_ids())


def _check_unknown(version: Path, rows: Rows) -> None:
    """Rejects a version whose feature tables include the statistics of the rows to score."""
    tables = read_card(version).get("feature_tables")
    if tables is None:
        return
    first, _ = rows.dates()
    if datetime.date.fromisoformat(tables["as_of"]) > first:
        raise ValueError(
            "`within` compares on rows outside the previous version's feature tables. Received: rows from "
            f"{first} on, and {version} with feature tables as of {tables['as_of']}"
        )


def _score(version: Path, rows: Rows) -> dict[str, np.ndarray]:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(version))  # must outlive its signature
    signature = loaded.signatures[SIGNATURE]
    needed = {name: spec.dtype.name for name, spec in signature.structured_input_signature[1].items()}
    parts = []
    for _, piece in rows.pieces():
        columns = _columns(version, piece, needed)
        for start in range(0, len(piece), BATCH):
            parts.append(
                signature(**{n: tf.constant(own[start : start + BATCH]) for n, own in columns.items()})
            )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _columns(version: Path, rows: Interactions, needed: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The inputs of a version, in its types."""
    columns = rows.columns()
    for name in set(needed) & set(rows.frame.columns) - set(columns):  # keys of tables
        columns[name] = to_numpy(rows.frame[name], needed[name])
    if missing := sorted(set(needed) - set(columns)):
        raise ValueError(f"The rows must have the features of {version}. Received: missing={missing}")
    return {name: columns[name] for name in needed}
