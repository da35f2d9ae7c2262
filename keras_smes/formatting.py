"""Metrics as text: titles, decimals and tables, the same in the terminal and in reports."""

from collections.abc import Sequence
from typing import Any

UNKNOWN = "-"

# Title and decimals by the name that a metric has in `metrics.json`.
TASK = {
    "auc": ("AUC", 4),
    "gauc": ("GAUC", 4),
    "logloss": ("log loss", 4),
    "predicted_over_observed": ("predicted / observed", 3),
    "calibration_error": ("calibration error", 4),
    "mae": ("MAE", 4),
    "rmse": ("RMSE", 4),
    "xauc": ("XAUC", 4),
    "gxauc": ("GXAUC", 4),
    "request_auc": ("req. AUC", 4),
    "request_ndcg": ("NDCG", 4),
    "positives": ("positives", 0),
    "requests": ("requests", 0),
    "rows": ("rows", 0),
}
ROUTING = {
    "num_experts": ("experts E", 0),
    "union_mean": ("executed, mean", 2),
    "union_max": ("executed, maximum", 0),
    "union_bound": ("bound", 0),
    "load_max_over_mean": ("load, max / mean", 2),
    "load_cv": ("load, CV", 2),
    "load_gini": ("load, Gini", 2),
    "dead_experts": ("dead experts", 1),
    "task_overlap": ("overlap (Jaccard)", 3),
    "router_entropy": ("entropy, nats", 3),
}
COST = {
    "parameters.all": ("parameters, all", 0),
    "parameters.experts": ("parameters, experts", 0),
    "multiplications": ("multiplications per row", 0),
    "training.rows": ("training rows", 0),
    "training.epochs": ("epochs", 0),
    "training.seconds": ("training, s", 1),
    "training.rows_per_second": ("rows per second", 0),
}
COLUMNS = TASK | ROUTING | COST


def title(metric: str) -> str:
    """Returns a metric's title, such as `"log loss"`."""
    return COLUMNS[metric][0]


def number(value: float | None, decimals: int = 4) -> str:
    """Returns a number as text, with thousands apart; an integer has no decimals."""
    if value is None:
        return UNKNOWN
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{decimals}f}"


def metric(name: str, value: float | None) -> str:
    """Returns a metric's value as text, with the decimals of its column."""
    return number(value, COLUMNS[name][1])


def mean_and_spread(mean: float, spread: float | None, decimals: int = 4) -> str:
    """Returns a mean over seeds with its standard deviation, which one seed doesn't have."""
    return number(mean, decimals) + (f" ± {number(spread, decimals)}" if spread else "")


def markdown_table(header: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    """Returns a Markdown table whose columns are numbers but the first."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def text_table(header: Sequence[Any], rows: Sequence[Sequence[Any]], names: int = 1) -> str:
    """Returns a table of aligned columns, of which the first are names and the others numbers."""
    lines = [[str(cell) for cell in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{'<' if n < names else '>'}{widths[n]}}" for n, cell in enumerate(line)).rstrip()
        for line in lines
    )
