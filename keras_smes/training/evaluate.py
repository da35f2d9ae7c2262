"""Measures a ranker on rows: how well each task is ranked and predicted, and how experts are used."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_smes.data.interactions import Interactions
from keras_smes.diagnostics import RoutingProbe, has_routing
from keras_smes.distribution import Engine
from keras_smes.metrics import (
    auc,
    expected_calibration_error,
    gauc,
    gxauc,
    log_loss,
    ndcg,
    predicted_over_observed,
    reliability_curve,
    xauc,
)
from keras_smes.tasks import BinaryTask, OrdinalTask, Task
from keras_smes.training.batches import Arrays, batches, count_for_any, preprocess

BATCH = 4096

Figures = dict[str, Any]


def evaluate(ranker: keras.Model, rows: Interactions, engine: Engine | None = None) -> dict[str, Any]:
    """Scores rows and measures the scores and the routing.

    Args:
        ranker: What `build_ranker` built.
        rows: The rows, with the labels of the ranker's tasks.
        engine: An `Engine` whose processes score a part of the rows each, and measure all. Defaults to
            `None`, this process scores all of them.

    Returns:
        `tasks`: the figures of each task, see `task_figures`. `routing`: the measures of `RoutingHealth` over
        the rows that count for any task, and `instance`: of the first row, the `shared` experts and each
        task's `gates` by expert; both are empty if no layer of the ranker routes.
    """
    return evaluate_features(ranker, preprocess(ranker, rows.columns()), rows, engine)


def evaluate_features(
    ranker: keras.Model, features: Arrays, rows: Interactions, engine: Engine | None = None
) -> dict[str, Any]:
    """As `evaluate`, of rows that are preprocessed already."""
    engine, core = engine or Engine(), ranker.get_layer("core")
    logits = score(core, features, engine)
    tasks = task_figures(ranker, logits, rows.labels(), rows.user_ids(), rows.request_ids())
    labels = rows.labels()
    counted_n = count_for_any({task.name: task.counted(labels) for task in ranker.get_layer("scores").tasks})
    counted_n &= rows.weights() > 0
    return {"tasks": tasks, **_routing(core, features, list(tasks), engine, counted_n)}


def score(core: keras.Model, features: Arrays, engine: Engine) -> dict[str, np.ndarray]:
    """Returns the logits of all rows, of which each process scores its own.

    They are put together before anything is measured: figures within a user need all of the user's rows.
    """
    rows = len(next(iter(features.values())))
    parts = core.predict(batches(_own(features, engine), {}, BATCH), verbose=0)
    whole = {name: np.zeros((rows, *part.shape[1:]), part.dtype) for name, part in parts.items()}
    for name, part in parts.items():
        whole[name][engine.own_rows] = part
    return engine.add_up(whole)


def _own(features: Arrays, engine: Engine) -> Arrays:
    return {name: values[engine.own_rows] for name, values in features.items()}


def task_figures(
    ranker: keras.Model,
    logits: Mapping[str, Any],
    labels: Mapping[str, np.ndarray],
    users_n: np.ndarray,
    requests_n: np.ndarray | None = None,
) -> dict[str, Figures]:
    """Measures each task by its kind, over the rows that count for it.

    Args:
        ranker: What `build_ranker` built.
        logits: What its core puts out for N rows.
        labels: The label columns `[N]`, as `Interactions.labels` gives them.
        users_n: Whose row it is, `[N]`.
        requests_n: In which request it was shown, `[N]`. Defaults to `None`, not known.

    Returns:
        For each task, how many `rows` count, and, `None` where they don't define a figure:

        - a binary task: `auc`, `gauc` (by impressions), `gauc_users`, `gauc_users_left_out`,
          `gauc_rows_without_user`, `logloss`, `predicted_over_observed`, `calibration_error` (ten bins of
          equal width), `calibration` (mean `predicted`, `observed` share and `rows` of ten bins of equal
          mass) and `positives`;
        - a number such as watch time: `mae` and `rmse` in the label's unit, `predicted_over_observed`,
          `xauc`, and `gxauc` (within users, by impressions);
        - an ordinal task: the same of its levels' values, and for each threshold c `auc_at_c`: how well the
          score tells who reaches it;
        - where requests are known, also `requests`, those that define the figures, and, each the mean over
          requests, `request_auc` and `request_ndcg` of a binary task, `request_xauc` of a number.
    """
    to_scores = ranker.get_layer("scores")
    scores = {name: keras.ops.convert_to_numpy(score_n) for name, score_n in to_scores(logits).items()}
    return score_figures(to_scores.tasks, scores, labels, users_n, requests_n)


def score_figures(
    tasks: Sequence[Task],
    scores: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    users_n: np.ndarray,
    requests_n: np.ndarray | None = None,
) -> dict[str, Figures]:
    """As `task_figures`, of scores `[N]` by task, whoever gave them."""
    figures = {}
    for task in tasks:
        counts_n = task.counted(labels) > 0
        scores_b = scores[task.name][counts_n]
        figures[task.name] = {
            **_figures(task, task.observed(labels)[counts_n], scores_b, users_n[counts_n]),
            "rows": len(scores_b),
        }
        if requests_n is not None:
            observed_b = task.observed(labels)[counts_n]
            figures[task.name] |= _within_requests(task, observed_b, scores_b, requests_n[counts_n])
    return figures


def _figures(task: Task, observed_b: np.ndarray, scores_b: np.ndarray, users_b: np.ndarray) -> Figures:
    if isinstance(task, BinaryTask):
        return _of_events(observed_b, scores_b, users_b)
    figures = _of_numbers(observed_b, scores_b, users_b)
    if isinstance(task, OrdinalTask):
        for threshold, value in zip(task.thresholds, task.level_values[1:], strict=True):
            figures[f"auc_at_{_short(threshold)}"] = _or_none(auc(observed_b >= value, scores_b))
    return figures


def _short(number: float) -> str:
    """Returns a number in six digits, or in as many as it has: two thresholds never share a name."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number).removesuffix(".0")


def _of_events(labels_b: np.ndarray, scores_b: np.ndarray, users_b: np.ndarray) -> Figures:
    grouped = gauc(labels_b, scores_b, users_b)
    return {
        "auc": _or_none(auc(labels_b, scores_b)),
        "gauc": _or_none(grouped.value),
        "gauc_users": grouped.users_used,
        "gauc_users_left_out": grouped.users_left_out,
        "gauc_rows_without_user": grouped.rows_without_user,
        "logloss": _or_none(log_loss(labels_b, scores_b)),
        "predicted_over_observed": _or_none(predicted_over_observed(labels_b, scores_b)),
        "calibration_error": _or_none(expected_calibration_error(labels_b, scores_b)),
        "calibration": _bins(labels_b, scores_b),
        "positives": int(labels_b.sum()),
    }


def _within_requests(
    task: Task, observed_b: np.ndarray, scores_b: np.ndarray, requests_b: np.ndarray
) -> Figures:
    if not isinstance(task, BinaryTask):
        ordered = gxauc(observed_b, scores_b, requests_b, "mean")
        return {"request_xauc": _or_none(ordered.value), "requests": ordered.users_used}
    ordered, lists = gauc(observed_b, scores_b, requests_b, "mean"), ndcg(observed_b, scores_b, requests_b)
    return {
        "request_auc": _or_none(ordered.value),
        "request_ndcg": _or_none(lists.value),
        "requests": ordered.users_used,
    }


def _bins(labels_b: np.ndarray, scores_b: np.ndarray) -> dict[str, list[float]] | None:
    if not len(labels_b):
        return None
    curve = reliability_curve(labels_b, scores_b, binning="mass")
    filled = curve.weight > 0
    columns = {"predicted": curve.predicted, "observed": curve.observed, "rows": curve.weight}
    return {name: values[filled].tolist() for name, values in columns.items()}


def _of_numbers(observed_b: np.ndarray, scores_b: np.ndarray, users_b: np.ndarray) -> Figures:
    errors_b = scores_b.astype(np.float64) - observed_b
    return {
        "mae": float(np.abs(errors_b).mean()) if len(errors_b) else None,
        "rmse": float(np.sqrt(np.square(errors_b).mean())) if len(errors_b) else None,
        "predicted_over_observed": _or_none(predicted_over_observed(observed_b, scores_b)),
        "xauc": _or_none(xauc(observed_b, scores_b)),
        "gxauc": _or_none(gxauc(observed_b, scores_b, users_b).value),
    }


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


def _routing(
    core: keras.Model, features: Arrays, tasks: Sequence[str], engine: Engine, counted_n: np.ndarray
) -> dict[str, Any]:
    if not has_routing(core):
        return {"routing": {}, "instance": {}}
    probe = RoutingProbe(core)  # a model of its own, so that ranking never pays for statistics
    (layer,) = probe.layers
    first = probe.route({name: values[:1] for name, values in features.items()})[layer]
    shared_e, weights_te = first["shared"][0], first["weights"][0].astype(float)
    gates = {
        task: {str(e): row_e[e] for e in np.flatnonzero(row_e)}
        for task, row_e in zip(tasks, weights_te, strict=True)
    }
    instance = {"shared": np.flatnonzero(shared_e).tolist(), "gates": gates}
    health = probe.measure(_own(features, engine), engine.add_up, counted_n[engine.own_rows])[layer]
    return {"routing": health, "instance": instance}
