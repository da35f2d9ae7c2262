"""A run's metrics as text."""

from collections.abc import Mapping
from typing import Any

from keras_smes.console import show

# Metrics of binary tasks, of regression and ordinal tasks, and of lists, with their titles.
OF_LABELS = {"auc": "AUC", "gauc": "GAUC", "logloss": "log loss", "positives": "positives", "rows": "rows"}
OF_NUMBERS = {"mae": "MAE", "rmse": "RMSE", "xauc": "XAUC", "rows": "rows"}
OF_REQUESTS = {"request_auc": "req. AUC", "request_ndcg": "NDCG", "requests": "requests"}


def show_metrics(metrics: Mapping[str, Any]) -> None:
    """Prints the metrics of each task, and how the experts are used."""
    for titles in (OF_LABELS, OF_NUMBERS, OF_REQUESTS):
        tasks = {
            task: figures for task, figures in metrics["tasks"].items() if titles.keys() <= figures.keys()
        }
        if tasks:
            show(f"\n{'task':<16}" + "".join(f"{title:>11}" for title in titles.values()))
        for task, figures in tasks.items():
            show(f"{task:<16}" + "".join(f"{_figure(figures[name]):>11}" for name in titles))
    if routing := metrics["routing"]:
        show(
            f"\nexecuted experts an instance: mean {_figure(routing['union_mean'], 2)}, "
            f"bound {routing['union_bound']}, of {routing['num_experts']} in the pool\n"
            f"expert load: maximum over mean {_figure(routing['load_max_over_mean'], 2)}, "
            f"dead experts {routing['dead_experts']}"
        )
    if unusual := metrics["unusual"]["test"]:
        show(f"\nunusual values of test rows: {_most_frequent(unusual)}")


def _most_frequent(unusual: Mapping[str, Mapping[str, int]], shown: int = 6) -> str:
    counts = [(name, count, kind) for name, own in unusual.items() for kind, count in own.items()]
    counts.sort(key=lambda entry: -entry[1])
    texts = [f"{name} {count} {kind}" for name, count, kind in counts]
    more = len(texts) - shown
    return ", ".join(texts[:shown]) + (f", and {more} more counts in the metrics" if more > 0 else "")


def _figure(value: float | None, digits: int = 4) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if value is None else f"{value:.{digits}f}"
