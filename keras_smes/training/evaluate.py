"""Evaluates a ranker on rows: metrics per task, and expert utilisation."""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from keras_smes.data.rows import Rows
from keras_smes.diagnostics import RoutingProbe, has_routing
from keras_smes.distribution import Engine
from keras_smes.metrics import ReliabilityCurve, auc, gauc, gxauc, ndcg, predicted_over_observed, xauc
from keras_smes.metrics.binary import binary_metrics
from keras_smes.metrics.ids import number_ids
from keras_smes.tasks import BinaryTask, OrdinalTask, Task
from keras_smes.training.input.packed_rows import PackedRows
from keras_smes.training.input.packing import Arrays
from keras_smes.training.input.preprocessing import count_for_any, preprocess
from keras_smes.training.scorer import Chunk, Scorer, score, to_scores

Metrics = dict[str, Any]


def evaluate(ranker: keras.Model, rows: Rows, engine: Engine | None = None) -> dict[str, Any]:
    """Scores rows and computes metrics and routing statistics.

    Args:
        ranker: A model of `build_ranker`.
        rows: The rows, with the labels of the ranker's tasks. For rows on disk, memory holds one part at a
            time, and the scores, labels and user of each row.
        engine: An `Engine` whose processes each score a part of the rows. Defaults to `None`, this process
            scores all of them.

    Returns:
        `tasks`: the metrics of each task, see `task_metrics`. `routing`: `RoutingHealth` over the rows that
        count for any task. `instance`: the `shared` experts and each task's `gates` by expert for the first
        row. The last two are empty for a ranker without routing.
    """
    engine = engine or Engine()
    return _evaluate(ranker, _ahead(_preprocessed(ranker, rows, engine.share)), rows, engine)


def evaluate_packed(
    ranker: keras.Model, packed: PackedRows, rows: Rows, engine: Engine | None = None
) -> dict[str, Any]:
    """As `evaluate`, for rows from `prepare_for`."""
    engine = engine or Engine()
    return _evaluate(ranker, pieces_of(packed, engine.share), rows, engine)


def score_packed(ranker: keras.Model, packed: PackedRows) -> dict[str, np.ndarray]:
    """Returns the scores of packed rows by task."""
    return score(ranker, pieces_of(packed), packed.num_rows)


def pieces_of(packed: PackedRows, share: tuple[int, int] = (0, 1)) -> Iterator[Chunk]:
    """Yields chunks of packed rows for a `Scorer`."""
    for which, (features, _, counted) in packed.chunks(share):
        yield Chunk(which, features, count_for_any(counted))


def _ahead(pieces: Iterator[Chunk]) -> Iterator[Chunk]:
    """Yields pieces, preparing the next one in a thread."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, pieces, None)
        while (piece := waiting.result()) is not None:
            waiting = pool.submit(next, pieces, None)
            yield piece


def _preprocessed(ranker: keras.Model, rows: Rows, share: tuple[int, int]) -> Iterator[Chunk]:
    tasks = ranker.get_layer("scores").tasks
    for which, piece in rows.pieces(share):
        labels = piece.labels()
        counted_n = count_for_any({task.name: task.counted(labels) for task in tasks}) & (piece.weights() > 0)
        yield Chunk(which, preprocess(ranker, piece.columns()), counted_n)


def _evaluate(ranker: keras.Model, pieces: Iterator[Chunk], rows: Rows, engine: Engine) -> dict[str, Any]:
    core = ranker.get_layer("core")
    probe = RoutingProbe(core) if has_routing(core) else None
    first = next(pieces, None)
    pieces = pieces if first is None else itertools.chain([first], pieces)
    logits = Scorer(core, probe).score(pieces, len(rows), engine)
    tasks = task_metrics(ranker, logits, rows.labels(), rows.user_ids(), rows.request_ids())
    if probe is None:
        return {"tasks": tasks, "routing": {}, "instance": {}}
    (routing,) = probe.results(engine.add_up).values()
    instance = {} if first is None else _instance(probe, first.features, list(tasks))
    return {"tasks": tasks, "routing": routing, "instance": instance}


def task_metrics(
    ranker: keras.Model,
    logits: Mapping[str, Any],
    labels: Mapping[str, np.ndarray],
    users_n: np.ndarray,
    requests_n: np.ndarray | None = None,
) -> dict[str, Metrics]:
    """Computes the metrics of each task, by its type, over the rows that count for it.

    Args:
        ranker: A model of `build_ranker`.
        logits: The outputs of its core for N rows.
        labels: The label columns `[N]`, from `Interactions.labels`.
        users_n: User of each row, `[N]`.
        requests_n: Request of each row, `[N]`. Defaults to `None`, unknown.

    Returns:
        For each task the number of `rows` that count and its metrics; `None` where the rows don't define one:

        - a binary task: `auc`, `gauc` (weighted by impressions), `gauc_users`, `gauc_users_left_out`,
          `gauc_rows_without_user`, `logloss`, `predicted_over_observed`, `calibration_error` (ten bins of
          equal width), `calibration` (mean `predicted`, `observed` share and `rows` of ten bins of equal
          mass) and `positives`;
        - a regression such as watch time: `mae` and `rmse` in the label's unit, `predicted_over_observed`,
          `xauc`, and `gxauc` (within users, weighted by impressions);
        - an ordinal task: the same for its level values, and `auc_at_c` for each threshold c: the AUC of the
          score for reaching c;
        - with known requests also `requests`, the number that define the metrics, and means over requests:
          `request_auc` and `request_ndcg` of a binary task, `request_xauc` of a number.
    """
    tasks = ranker.get_layer("scores").tasks
    return score_metrics(tasks, to_scores(ranker, logits), labels, users_n, requests_n)


def score_metrics(
    tasks: Sequence[Task],
    scores: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    users_n: np.ndarray,
    requests_n: np.ndarray | None = None,
) -> dict[str, Metrics]:
    """As `task_metrics`, from scores `[N]` by task."""
    users_n = number_ids("users", users_n)
    requests_n = None if requests_n is None else number_ids("requests", requests_n)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # most time goes into sorting, where NumPy drops the GIL
        made = [pool.submit(_of_task, task, scores[task.name], labels, users_n, requests_n) for task in tasks]
        return {task.name: own.result() for task, own in zip(tasks, made, strict=True)}


def _of_task(
    task: Task,
    scores_n: np.ndarray,
    labels: Mapping[str, np.ndarray],
    users_n: np.ndarray,
    requests_n: np.ndarray | None,
) -> Metrics:
    counts_n = task.counted(labels) > 0
    observed_b, scores_b = task.observed(labels)[counts_n], scores_n[counts_n]
    metrics = {**_metrics(task, observed_b, scores_b, users_n[counts_n]), "rows": len(scores_b)}
    if requests_n is not None:
        metrics |= _within_requests(task, observed_b, scores_b, requests_n[counts_n])
    return metrics


def _metrics(task: Task, observed_b: np.ndarray, scores_b: np.ndarray, users_b: np.ndarray) -> Metrics:
    if isinstance(task, BinaryTask):
        return _of_events(observed_b, scores_b, users_b)
    metrics = _of_numbers(observed_b, scores_b, users_b)
    if isinstance(task, OrdinalTask):
        for threshold, value in zip(task.thresholds, task.level_values[1:], strict=True):
            metrics[f"auc_at_{_short(threshold)}"] = _or_none(auc(observed_b >= value, scores_b))
    return metrics


def _short(number: float) -> str:
    """Formats in six digits, or in all where six would make two thresholds equal."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number).removesuffix(".0")


def _of_events(labels_b: np.ndarray, scores_b: np.ndarray, users_b: np.ndarray) -> Metrics:
    found = binary_metrics(labels_b, scores_b, users_b)
    return {
        "auc": _or_none(found.auc),
        "gauc": _or_none(found.gauc.value),
        "gauc_users": found.gauc.users_used,
        "gauc_users_left_out": found.gauc.users_left_out,
        "gauc_rows_without_user": found.gauc.rows_without_user,
        "logloss": _or_none(found.log_loss),
        "predicted_over_observed": _or_none(found.predicted_over_observed),
        "calibration_error": _or_none(found.calibration_error),
        "calibration": _bins(found.calibration) if len(labels_b) else None,
        "positives": found.positives,
    }


def _within_requests(
    task: Task, observed_b: np.ndarray, scores_b: np.ndarray, requests_b: np.ndarray
) -> Metrics:
    known_b = requests_b >= 0
    observed_b, scores_b, requests_b = observed_b[known_b], scores_b[known_b], requests_b[known_b]
    if not isinstance(task, BinaryTask):
        ordered = gxauc(observed_b, scores_b, requests_b, "mean")
        return {"request_xauc": _or_none(ordered.value), "requests": ordered.users_used}
    ordered, lists = gauc(observed_b, scores_b, requests_b, "mean"), ndcg(observed_b, scores_b, requests_b)
    return {
        "request_auc": _or_none(ordered.value),
        "request_ndcg": _or_none(lists.value),
        "requests": ordered.users_used,
    }


def _bins(curve: ReliabilityCurve) -> dict[str, list[float]]:
    filled = curve.weight > 0
    columns = {"predicted": curve.predicted, "observed": curve.observed, "rows": curve.weight}
    return {name: values[filled].tolist() for name, values in columns.items()}


def _of_numbers(observed_b: np.ndarray, scores_b: np.ndarray, users_b: np.ndarray) -> Metrics:
    errors_b, known_b = scores_b.astype(np.float64) - observed_b, users_b >= 0
    return {
        "mae": float(np.abs(errors_b).mean()) if len(errors_b) else None,
        "rmse": float(np.sqrt(np.square(errors_b).mean())) if len(errors_b) else None,
        "predicted_over_observed": _or_none(predicted_over_observed(observed_b, scores_b)),
        "xauc": _or_none(xauc(observed_b, scores_b)),
        "gxauc": _or_none(gxauc(observed_b[known_b], scores_b[known_b], users_b[known_b]).value),
    }


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


def _instance(probe: RoutingProbe, features: Arrays, tasks: Sequence[str]) -> dict[str, Any]:
    """The shared experts and the gates of the first row."""
    (routing,) = probe.route({name: values[:1] for name, values in features.items()}).values()
    shared_e, weights_te = routing["shared"][0], routing["weights"][0].astype(float)
    gates = {
        task: {str(e): row_e[e] for e in np.flatnonzero(row_e)}
        for task, row_e in zip(tasks, weights_te, strict=True)
    }
    return {"shared": np.flatnonzero(shared_e).tolist(), "gates": gates}
