"""Plots of a run, each with an explanation, or the reason why it is missing."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from keras_smes import viz
from keras_smes.report.collect import Group, Run
from keras_smes.report.svg import inline_svg
from keras_smes.training.run_folder import ROUTING


class Missing(Exception):
    """A run lacks the data of a plot; the message names them."""


class PlotKind(NamedTuple):
    """A kind of plot."""

    title: str
    note: str  # an explanation in one or two sentences
    draw: Callable[[Run, Axes], Any]  # raises `Missing` where the run lacks its data
    height: Callable[[int], float] = lambda tasks: 3.0  # inches by number of tasks


def draw_run(kind: PlotKind, run: Run, name: str) -> str:
    """Returns a plot of a run as SVG, or raises `Missing`."""
    tasks = len(run.metrics["tasks"])
    return inline_svg(lambda ax: kind.draw(run, ax), name, f"{kind.title}, {run.name}", kind.height(tasks))


def cost_against_capacity(groups: Sequence[Group]) -> str:
    """Returns the plot of all groups with a known cost, or raises `Missing`.

    Raises:
        Missing: No group has one.
    """
    sizes = {
        legend_name(group.label): (known["parameters"]["experts"], known["multiplications"])
        for group in groups
        if "multiplications" in (known := group.runs[0].metrics)
    }
    if not sizes:
        raise Missing("no run has its number of multiplications")
    return inline_svg(lambda ax: viz.cost_against_capacity(sizes, ax), "cost", "Cost against capacity", 3.2)


def legend_name(name: str) -> str:
    """Escapes a name for Matplotlib: dollars are no formula, and a legend shows every name."""
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def _loss(run: Run, ax: Axes) -> None:
    if not run.metrics.get("history"):
        raise Missing("the losses by epoch were not stored")
    viz.training_curves(run.metrics["history"], ax)


def _calibration(run: Run, ax: Axes) -> None:
    curves = {
        legend_name(task): (own["calibration"]["predicted"], own["calibration"]["observed"])
        for task, own in run.metrics["tasks"].items()
        if own.get("calibration")
    }
    if not curves:
        raise Missing("the bins of predicted probability were not stored")
    viz.calibration_curves(curves, ax)


def _routed(run: Run, name: str) -> Any:
    routing = run.metrics["routing"]
    if not routing:
        raise Missing("no layer chooses experts")
    if routing.get(name) is None:
        raise Missing(f"`{name}` was not stored")
    return routing[name]


def _tasks(run: Run) -> list[str]:
    return [legend_name(task) for task in run.metrics["tasks"]]


def _executed(run: Run, ax: Axes) -> None:
    viz.union_sizes(_routed(run, "union_sizes"), _routed(run, "union_bound"), _routed(run, "num_experts"), ax)


def _load_by_epoch(run: Run, ax: Axes) -> None:
    _routed(run, "num_experts")
    lines = [line for line in run.routing if line.measure == "expert_load"]
    if not lines:
        raise Missing(f"there is no {ROUTING}")
    epochs = sorted({line.epoch for line in lines})
    viz.load_by_epoch([[line.value for line in lines if line.epoch == epoch] for epoch in epochs], ax)


def _instance(run: Run, ax: Axes) -> None:
    num_experts, tasks = _routed(run, "num_experts"), _tasks(run)
    instance = run.metrics.get("instance")
    if not instance:
        raise Missing("the routing of a row was not stored")
    weights_te = np.zeros((len(tasks), num_experts))
    for row_e, gates in zip(weights_te, instance["gates"].values(), strict=True):
        row_e[[int(expert) for expert in gates]] = list(gates.values())
    viz.instance_routing(weights_te, np.isin(np.arange(num_experts), instance["shared"]), tasks, ax)


KINDS = (
    PlotKind("Loss by epoch", "A rising validation loss means that training ran for too long.", _loss),
    PlotKind(
        "Calibration",
        "Test rows in ten bins of equal mass by predicted probability. On the dotted line a task is "
        "calibrated; below it, predictions are too high.",
        _calibration,
        lambda tasks: 3.6,
    ),
    PlotKind(
        "Load by expert",
        "Share of the executed (row, expert) pairs. Bars below a tenth of the line are dead.",
        lambda run, ax: viz.expert_load(_routed(run, "expert_load"), ax),
    ),
    PlotKind(
        "Load by epoch",
        "The same after each epoch, relative to the mean load, on sample rows. White rows are experts "
        "without load.",
        _load_by_epoch,
    ),
    PlotKind(
        "Experts by task",
        "How each task distributes its choices. Equal rows: tasks agree; different rows: they specialise.",
        lambda run, ax: viz.task_expert_heatmap(_routed(run, "task_expert_share"), _tasks(run), ax),
        lambda tasks: 1.2 + 0.3 * tasks,
    ),
    PlotKind(
        "Overlap of tasks",
        "Experts that both tasks chose for a row over those that either chose: 1 is the same set.",
        lambda run, ax: viz.task_overlap(_routed(run, "task_overlap_matrix"), _tasks(run), ax),
        lambda tasks: 1.6 + 0.3 * tasks,
    ),
    PlotKind(
        "Executed experts",
        "How many experts a row executes, counted once for all tasks: at most the bound, for any E.",
        _executed,
    ),
    PlotKind(
        "One instance",
        "The first test row: experts that its tasks share, private ones, and how each task weighs them.",
        _instance,
        lambda tasks: 1.2 + 0.3 * tasks,
    ),
)
