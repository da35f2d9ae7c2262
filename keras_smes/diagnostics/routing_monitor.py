"""A callback that measures the routing of sample rows after each epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_smes.diagnostics.events import Events
from keras_smes.diagnostics.pictures import heat_picture
from keras_smes.diagnostics.probe import RoutingProbe, sample_rows
from keras_smes.diagnostics.routing_csv import RoutingCsv

LOADS = ("load_max_over_mean", "load_cv", "load_gini", "dead_experts")
LOGGED = (*LOADS, "union_mean", "task_overlap", "router_entropy")
LOAD_BINS = 20

Result = Mapping[str, Any]


class RoutingMonitor(keras.callbacks.Callback):
    """Measures the routing of sample rows after each epoch, in every layer that chooses experts.

    Only the routers run, on the same rows each time and outside of the training step: the model, its serving
    cost and its export don't change. An epoch's logs get `{layer}/{measure}` of `load_max_over_mean`,
    `load_cv`, `load_gini`, `dead_experts`, `union_mean`, `task_overlap` and `router_entropy` of
    `RoutingHealth`. All measures, by expert and by task, go into `results` and optionally into a CSV file and
    to TensorBoard, as scalars, histograms and images.

    Args:
        features: Sample rows, preferably of validation: arrays of N rows, a dict or list of them, or a data
            set of batches, without the rows whose sample weights are 0.
        task_names: T names, in the order of the layers' outputs. Defaults to `None`: `task 0` and so on.
        rows: Maximum number of rows, evenly spread over arrays, the first ones of a data set. Defaults to
            `2048`.
        csv: File for all measures, see `RoutingCsv`. Defaults to `None`, no file.
        tensorboard: Separate folder for event files. Defaults to `None`, no events.
        model: The functional model to measure. Defaults to `None`, the fitted model.
        mask: `[N]` bool, false for padding rows of arrays and rows that count for no task, which are left
            out. Defaults to `None`, all rows count.

    Attributes:
        results: By layer, the list of `RoutingHealth.result()` after each epoch.

    Raises:
        ValueError: When training begins, if the model is not functional or has no layer that chooses experts.

    Example:

    >>> h = keras.Input((8,))
    >>> smes = SMES(num_tasks=2, num_experts=4, num_shared=1, num_private=1, expert_units=1, name="experts")
    >>> model = keras.Model(h, smes(h))
    >>> model.compile("adam", "mse")
    >>> x, y = np.random.rand(64, 8).astype("float32"), np.random.rand(64, 2, 1)
    >>> monitor = RoutingMonitor(x, ["click", "like"])
    >>> history = model.fit(x, y, epochs=2, callbacks=[monitor], verbose=0).history
    >>> len(history["experts/dead_experts"]), monitor.results["experts"][1]["union_bound"]
    (2, 3)
    """

    def __init__(
        self,
        features: Any,
        task_names: Sequence[str] | None = None,
        rows: int = 2048,
        csv: str | Path | None = None,
        tensorboard: str | Path | None = None,
        model: keras.Model | None = None,
        mask: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.features = sample_rows(features, rows, mask)
        self.task_names = None if task_names is None else list(task_names)
        self.results: dict[str, list[Result]] = {}
        self._csv = None if csv is None else RoutingCsv(csv)
        self._events = None if tensorboard is None else Events(tensorboard)
        self._watched = model
        self._probe: RoutingProbe | None = None if model is None else RoutingProbe(model)

    def on_train_begin(self, logs: Any = None) -> None:
        if self._watched is None:
            self._probe = RoutingProbe(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        figures = self.measure(epoch)
        if logs is not None:
            logs.update(figures)

    def measure(self, epoch: int) -> dict[str, float]:
        """Measures now, records the results for an epoch, and returns its logs."""
        assert self._probe is not None, "training hasn't begun"
        measured = self._probe.measure(self.features)
        for layer, result in measured.items():
            self.results.setdefault(layer, []).append(result)
        figures = {
            f"{layer}/{name}": float(result[name])
            for layer, result in measured.items()
            for name in LOGGED
            if result[name] is not None
        }
        if self._csv is not None:
            for layer, result in measured.items():
                self._csv.write(epoch, {layer: result}, self._names(result))
        if self._events is not None:
            self._show(self._events, epoch, measured, figures)
        return figures

    def _names(self, result: Result) -> list[str]:
        num_tasks = len(result["task_expert_share"])
        names = [f"task {t}" for t in range(num_tasks)] if self.task_names is None else self.task_names
        if len(names) != num_tasks:
            raise ValueError(f"`task_names` must be {num_tasks} names. Received: task_names={names}")
        return names

    def _show(self, events: Events, epoch: int, measured: Mapping[str, Result], figures: Any) -> None:
        for layer, result in measured.items():
            _write_histograms(events, epoch, layer, result)
            _write_pictures(events, epoch, layer, self._names(result), self.results[layer])
        events.scalars(epoch, figures)  # the last: it flushes


def _write_histograms(events: Events, epoch: int, layer: str, result: Result) -> None:
    load_e = np.asarray(result["expert_load"]) * result["num_experts"]
    counts, edges = np.histogram(load_e, LOAD_BINS, range=(0, max(2.0, load_e.max())))
    events.histogram(epoch, f"{layer}/load over mean load", edges, counts)
    sizes = result["union_sizes"][: result["union_bound"] + 1]
    events.histogram(epoch, f"{layer}/executed experts", np.arange(len(sizes) + 1) - 0.5, sizes)


def _write_pictures(
    events: Events, epoch: int, layer: str, task_names: Sequence[str], results: Sequence[Result]
) -> None:
    share_te = np.asarray(results[-1]["task_expert_share"])
    overlap_tt = np.asarray(results[-1]["task_overlap_matrix"], np.float64)
    load_ne = np.stack([result["expert_load"] for result in results]) * results[-1]["num_experts"]
    tasks, top = ", ".join(task_names), float(share_te.max())
    matrices = {
        "experts by task": (share_te, top, f"Rows: {tasks}. Columns: experts. Dark: {top:.1%} of choices."),
        "overlap of tasks": (overlap_tt, 1.0, f"Rows and columns: {tasks}. Dark: the same experts."),
        "load by epoch": (load_ne, 2.0, "Rows: epochs. Columns: experts. White: none. Dark: twice the mean."),
    }
    for name, (matrix, darkest, description) in matrices.items():
        events.image(epoch, f"{layer}/{name}", heat_picture(matrix, darkest), description)
