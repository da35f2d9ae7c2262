"""Figures of an experiment's results, as PNG files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from keras_smes.experiments.summary import MEAN_AUC
from keras_smes.files import whole
from keras_smes.viz import style

Results = Mapping[str, Any]


def draw(results: Results, out: Path) -> list[Path]:
    """Draws quality, quality against cost, and the load of the experts where there is a router.

    Args:
        results: What `summarize` returned.
        out: Folder of the figures.

    Returns:
        The files.
    """
    drawn = [
        _saved(quality, results, out / "quality.png"),
        _saved(quality_by_cost, results, out / "cost.png"),
    ]
    if any(row["routing"] for row in results["rows"].values()):
        drawn.append(_saved(load, results, out / "load.png"))
    return drawn


def quality(results: Results, ax: Axes) -> None:
    """Draws each row's mean AUC with its standard deviation."""
    rows = results["rows"]
    means = [row["metrics"][MEAN_AUC]["mean"] for row in rows.values()]
    spreads = [row["metrics"][MEAN_AUC]["spread"] or 0.0 for row in rows.values()]
    ax.errorbar(means, range(len(rows)), xerr=spreads, fmt="o", color=style.INK, capsize=3)
    ax.set_yticks(range(len(rows)), labels=list(rows))
    ax.invert_yaxis()
    style.label(ax, "Mean AUC over the tasks, ± standard deviation over seeds", "mean AUC", "")


def quality_by_cost(results: Results, ax: Axes) -> None:
    """Draws each row's mean AUC against its executed multiplications."""
    for label, row in results["rows"].items():
        ax.plot(
            [row["cost"]["multiplications"]], [row["metrics"][MEAN_AUC]["mean"]], linestyle="", label=label
        )
    ax.set_xscale("log")
    style.label(ax, "Quality by cost", "multiplications a row, experts and routers", "mean AUC")
    style.legend_beside(ax)


def load(results: Results, ax: Axes) -> None:
    """Draws the load of each row's experts over the mean one, most to least, of its first seed."""
    for label, row in results["rows"].items():
        if row["routing"]:
            shares = sorted(row["routing"]["expert_load"], reverse=True)
            ax.plot([share * len(shares) for share in shares], markersize=3, label=label)
    ax.axhline(1.0, color=style.INK, linestyle="--", linewidth=1)
    style.label(
        ax, "Load by expert, on the test rows", "expert, from most to least loaded", "load over mean load"
    )
    style.legend_beside(ax)


def _saved(draw_on: Any, results: Results, path: Path) -> Path:
    # Not by pyplot, which would choose a GUI and keep the figure.
    figure = Figure(figsize=(7.2, 3.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    draw_on(results, style.axes(figure.add_subplot()))
    with whole(path) as partial:
        figure.savefig(partial, metadata={"Software": None})
    return path
