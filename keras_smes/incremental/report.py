"""Results of progressive validation as JSON, as a table and as a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_smes.files import write_text, write_whole
from keras_smes.formatting import UNKNOWN, markdown_table, number
from keras_smes.training.run_folder import write_json

RESULTS, TABLE, FIGURE = "results.json", "README.md", "progress.png"
if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The metric of each task in the table: the first one that it has.
SHOWN = ("auc", "xauc")

Results = Mapping[str, Any]


def write_report(results: Results, out: Path, figures: bool = True) -> None:
    """Writes the results of all finished days.

    Args:
        results: From `validate_progressively`.
        out: Folder of the files.
        figures: Whether to plot. Defaults to `True`.
    """
    write_json(out / RESULTS, results)
    write_text(out / TABLE, to_markdown(results))
    if figures:
        from keras_smes.viz import style

        write_whole(out / FIGURE, lambda file: style.write_figure(lambda ax: draw(results, ax), file))


def to_markdown(results: Results) -> str:
    """Returns the table: one row per day, with each task's metric and, in parentheses, the first model's."""
    days = results["days"]
    names = shown(days)
    header = ["trained on", "tested on", "rows", "new ids", *(f"{t} {m}" for t, m in names.items()), "export"]
    table = markdown_table(header, [_line(day, names) for day in days])
    return (
        "# Progressive validation\n\nEach model continues the one above and is tested on the day after. "
        f"In parentheses: the first model, never retrained.\n\n{table}\n"
    )


def shown(days: Sequence[Results]) -> dict[str, str]:
    """Returns the metric in the table, by task."""
    return {
        task: next(name for name in SHOWN if name in metrics)
        for task, metrics in days[-1]["tasks"].items()
        if any(name in metrics for name in SHOWN)
    }


def _line(day: Results, names: Mapping[str, str]) -> list[str]:
    ids = sum(day["new"].get("rows", {}).values())
    metrics = [f"{_value(day['tasks'], *name)} ({_value(day['stale'], *name)})" for name in names.items()]
    return [day["day"], day["test_day"], f"{day['rows']:,}", f"{ids:,}", *metrics, _export(day["export"])]


def _value(tasks: Results, task: str, metric: str) -> str:
    return number(tasks.get(task, {}).get(metric))


def _export(export: Results | None) -> str:
    if export is None:
        return UNKNOWN
    return f"version {export['version']}" if export["version"] is not None else f"no: {export['reason']}"


def draw(results: Results, ax: "Axes") -> None:
    """Plots each task's metric by test day: solid for the retrained model, dashed for the first one."""
    from keras_smes.viz import style

    days = results["days"]
    dates = [day["test_day"][5:] for day in days]
    for task, metric in shown(days).items():
        values, stale = (
            np.array([day[kind].get(task, {}).get(metric) for day in days], float)  # None becomes NaN
            for kind in ("tasks", "stale")
        )
        (line,) = ax.plot(dates, values, markersize=4, label=f"{task} {metric}")
        ax.plot(dates, stale, color=line.get_color(), linestyle="--", marker="")
    style.label(ax, "Tested on the next day (dashed: the first model)", "test day", "")
    style.legend_beside(ax)
