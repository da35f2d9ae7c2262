"""Measures a ranker on rows: how well each task is ranked and predicted, and how experts are used."""

from typing import Any

import keras
import numpy as np

from keras_smes.data.interactions import Interactions
from keras_smes.layers import SMES
from keras_smes.metrics import RoutingHealth, auc, gauc, log_loss
from keras_smes.training.batches import batches, preprocess

BATCH = 4096


def evaluate(ranker: keras.Model, rows: Interactions) -> dict[str, Any]:
    """Scores rows and measures the scores and the routing.

    Args:
        ranker: What `build_ranker` built.
        rows: The rows, with labels.

    Returns:
        `tasks`: for each task `auc`, `gauc` (by impressions), `gauc_users` and
        `gauc_users_left_out`, `logloss`, `positives` and `rows`; a figure that the rows don't define
        is `None`. `routing`: the measures of `RoutingHealth`, empty if no layer of the ranker routes.
    """
    features = preprocess(ranker, rows.columns())
    scores = ranker.get_layer("core").predict(batches(features, {}, BATCH), verbose=0)
    users, labels = rows.user_ids(), rows.labels()
    tasks = {task: _measure(labels[task], scores[task], users) for task in rows.tasks}
    return {"tasks": tasks, "routing": _routing_health(ranker.get_layer("core"), features)}


def _measure(labels_b: np.ndarray, scores_b: np.ndarray, users_b: np.ndarray) -> dict[str, Any]:
    grouped = gauc(labels_b, scores_b, users_b)
    figures = {"auc": auc(labels_b, scores_b), "gauc": grouped.value, "logloss": log_loss(labels_b, scores_b)}
    return {
        **{name: None if np.isnan(value) else value for name, value in figures.items()},
        "gauc_users": grouped.users_used,
        "gauc_users_left_out": grouped.users_left_out,
        "positives": int(labels_b.sum()),
        "rows": len(labels_b),
    }


def _routing_health(core: keras.Model, features: dict[str, np.ndarray]) -> dict[str, Any]:
    smes = next((layer for layer in core.layers if isinstance(layer, SMES)), None)
    if smes is None:
        return {}
    # A model of its own, so that ranking never pays for statistics.
    probe = keras.Model(core.inputs, smes.route(smes.input))
    bound = probe.output["executed"].shape[1]
    health = RoutingHealth(smes.router.num_tasks, smes.router.num_experts, bound)
    for batch, _ in batches(features, {}, BATCH):
        routing = probe(batch, training=False)
        health.update(*(keras.ops.convert_to_numpy(routing[x]) for x in ("probabilities", "chosen", "union")))
    return health.result()
