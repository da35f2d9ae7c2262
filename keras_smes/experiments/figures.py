"""Plots of an experiment's results, as PNG files."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from keras_smes.experiments.intervals import paired_difference
from keras_smes.experiments.summary import MEAN_AUC
from keras_smes.files import write_whole
from keras_smes.viz import style

Results = Mapping[str, Any]
COLORS, MARKERS = 6, "os^D"  # from the seventh row on, colours come again with another marker


def draw(results: Results, out: Path) -> list[Path]:
    """Draws quality, quality against cost, and the load of the experts where there is a router."""
    plots = {"quality.png": quality, "cost.png": quality_by_cost, "load.png": load}
    if not any(row["routing"] for row in results["rows"].values()):
        del plots["load.png"]
    size = (7.2, max(3.6, 0.8 + 0.2 * len(results["rows"])))  # inches: room for a line of text per row
    for name, plot in plots.items():
        drawn = functools.partial(plot, results)
        write_whole(out / name, functools.partial(style.write_figure, drawn, size=size))
    return [out / name for name in plots]


def quality(results: Results, ax: Axes) -> None:
    """Draws each row's mean AUC with its standard deviation."""
    rows = results["rows"]
    means = [row["metrics"][MEAN_AUC]["mean"] for row in rows.values()]
    spreads = [row["metrics"][MEAN_AUC]["spread"] or 0.0 for row in rows.values()]
    ax.errorbar(means, range(len(rows)), xerr=spreads, fmt="o", color=style.INK, capsize=3)
    ax.set_yticks(range(len(rows)), labels=list(rows))
    ax.invert_yaxis()
    style.label(ax, "Mean AUC ± standard deviation over seeds", "mean AUC", "")


def quality_by_cost(results: Results, ax: Axes) -> None:
    """Draws each row's mean AUC with its 95 % t interval over seeds, against its executed multiplications."""
    costs = [row["cost"]["multiplications"] for row in results["rows"].values()]
    for place, (label, row) in enumerate(results["rows"].items()):
        cost, values = costs[place], row["metrics"][MEAN_AUC]["values"]
        mean, low, high, _ = paired_difference(values, [0.0] * len(values))
        marker = MARKERS[place // COLORS % len(MARKERS)]
        (point,) = ax.plot([cost], [mean], linestyle="", marker=marker, label=label)
        if low is not None and high is not None:
            ax.vlines(cost, low, high, colors=[point.get_color()])
    if max(costs) > 4 * min(costs):  # nearly equal costs have too few round numbers on a logarithmic axis
        ax.set_xscale("log")
    style.engineering(ax.xaxis)
    style.label(ax, "Quality by cost at serving", "multiply-adds per row, experts and routers", "mean AUC")
    style.legend_beside(ax)


def load(results: Results, ax: Axes) -> None:
    """Draws the load of each row's experts over the mean one, most to least, of its first seed."""
    for label, row in results["rows"].items():
        if row["routing"]:
            shares = sorted(row["routing"]["expert_load"], reverse=True)
            ax.plot([share * len(shares) for share in shares], markersize=3, label=label)
    ax.axhline(1.0, color=style.INK, linestyle="--", linewidth=1)
    x, y = "expert, from most to least loaded", "load over mean load"
    style.label(ax, "Load by expert, on the test rows", x, y)
    style.legend_beside(ax)
