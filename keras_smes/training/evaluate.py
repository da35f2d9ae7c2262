"""Measures a ranker on rows: how well each task is ranked and predicted, and how experts are used."""

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
from keras_smes.training.scorer import Scorer, Some

Figures = dict[str, Any]


def evaluate(ranker: keras.Model, rows: Rows, engine: Engine | None = None) -> dict[str, Any]:
    """Scores rows and measures the scores and the routing.

    Args:
        ranker: What `build_ranker` built.
        rows: The rows, with the labels of the ranker's tasks. Of those on disk a part at a time is in memory,
            and for each row its scores, labels and user.
        engine: An `Engine` whose processes score a part of the rows each, and measure all. Defaults to
            `None`, this process scores all of them.

    Returns:
        `tasks`: the figures of each task, see `task_figures`. `routing`: the measures of `RoutingHealth` over
        the rows that count for any task, and `instance`: of the first row, the `shared` experts and each
        task's `gates` by expert; both are empty if no layer of the ranker routes.
    """
    engine = engine or Engine()
    return _evaluate(ranker, _ahead(_preprocessed(ranker, rows, engine.share)), rows, engine)


def evaluate_packed(
    ranker: keras.Model, packed: PackedRows, rows: Rows, engine: Engine | None = None
) -> dict[str, Any]:
    """As `evaluate`, of rows that are prepared already, as `prepare_for` does."""
    engine = engine or Engine()
    return _evaluate(ranker, pieces_of(packed, engine.share), rows, engine)


def score_packed(ranker: keras.Model, packed: PackedRows) -> dict[str, np.ndarray]:
    """Returns the scores of prepared rows by task."""
    logits = Scorer(ranker.get_layer("core")).score(pieces_of(packed), packed.num_rows, Engine())
    scores = ranker.get_layer("scores")(logits)
    return {name: keras.ops.convert_to_numpy(score_n) for name, score_n in scores.items()}


def pieces_of(packed: PackedRows, share: tuple[int, int] = (0, 1)) -> Iterator[Some]:
    """Yields packed rows as a `Scorer` takes them."""
    for which, (features, _, counted) in packed.chunks(share):
        yield Some(which, features, count_for_any(counted))


def _ahead(pieces: Iterator[Some]) -> Iterator[Some]:
    """Yields pieces, and makes the next one while one is scored."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, pieces, None)
        while (piece := waiting.result()) is not None:
            waiting = pool.submit(next, pieces, None)
            yield piece


def _preprocessed(ranker: keras.Model, rows: Rows, share: tuple[int, int]) -> Iterator[Some]:
    tasks = ranker.get_layer("scores").tasks
    for which, piece in rows.pieces(share):
        labels = piece.labels()
        counted_n = count_for_any({task.name: task.counted(labels) for task in tasks}) & (piece.weights() > 0)
        yield Some(which, preprocess(ranker, piece.columns()), counted_n)


def _evaluate(ranker: keras.Model, pieces: Iterator[Some], rows: Rows, engine: Engine) -> dict[str, Any]:
    core = ranker.get_layer("core")
    probe = RoutingProbe(core) if has_routing(core) else None
    first = next(pieces, None)
    pieces = pieces if first is None else itertools.chain([first], pieces)
    logits = Scorer(core, probe).score(pieces, len(rows), engine)
    tasks = task_figures(ranker, logits, rows.labels(), rows.user_ids(), rows.request_ids())
    if probe is None:
        return {"tasks": tasks, "routing": {}, "instance": {}}
    (routing,) = probe.results(engine.add_up).values()
    instance = {} if first is None else _instance(probe, first.features, list(tasks))
    return {"tasks": tasks, "routing": routing, "instance": instance}


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
    users_n = number_ids("users", users_n)
    requests_n = None if requests_n is None else number_ids("requests", requests_n)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # sorting is most of it, and NumPy sorts side by side
        made = [pool.submit(_of_task, task, scores[task.name], labels, users_n, requests_n) for task in tasks]
        return {task.name: own.result() for task, own in zip(tasks, made, strict=True)}


def _of_task(
    task: Task,
    scores_n: np.ndarray,
    labels: Mapping[str, np.ndarray],
    users_n: np.ndarray,
    requests_n: np.ndarray | None,
) -> Figures:
    counts_n = task.counted(labels) > 0
    observed_b, scores_b = task.observed(labels)[counts_n], scores_n[counts_n]
    figures = {**_figures(task, observed_b, scores_b, users_n[counts_n]), "rows": len(scores_b)}
    if requests_n is not None:
        figures |= _within_requests(task, observed_b, scores_b, requests_n[counts_n])
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
) -> Figures:
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


def _of_numbers(observed_b: np.ndarray, scores_b: np.ndarray, users_b: np.ndarray) -> Figures:
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
