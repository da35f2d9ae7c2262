"""Plots of the routing of one instance: its tasks, experts and gates."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from numpy.typing import ArrayLike, NDArray

from keras_smes.viz import style

SIDE = 0.92  # of a cell, in columns; the rest is the gap
APART = 0.5  # between the shared and the private experts, in columns
NUMBER_WIDTH = 0.24  # inches that a gate in a cell needs


def instance_routing(
    weights: ArrayLike, shared: ArrayLike, task_names: Sequence[str], ax: Axes | None = None
) -> Axes:
    """Draws the executed experts of one instance and each task's gates.

    One row per task, one column per executed expert, labelled with its number: first the shared, then the
    private experts. A cell is filled to the height of the gate, so the fillings of a row add up to one cell.

    Args:
        weights: `[T, E]`, the gates of one instance: `SMES.route(h)["weights"][b]`.
        shared: `[E]` bool, its shared experts: `SMES.route(h)["shared"][b]`.
        task_names: T names, in the order of the rows.
        ax: Axes to draw on. `None`, the default, creates a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If `weights` is not a matrix of numbers in [0, 1] with a row for each name, or `shared`
            doesn't have an entry for each expert.

    Example:

    >>> gates = [[0.7, 0.2, 0.1, 0.0], [0.6, 0.1, 0.0, 0.3]]
    >>> ax = instance_routing(gates, [True, True, False, False], ["click", "like"])
    """
    weights_te = style.matrix_in_unit_range("weights", weights, task_names)
    shared_e = np.asarray(shared, bool)
    if shared_e.shape != weights_te.shape[1:]:
        raise ValueError(
            f"`shared` must have an entry for each of the {weights_te.shape[1]} experts. "
            f"Received: shared.shape={shared_e.shape}"
        )
    experts_u, columns_u = _columns(weights_te, shared_e)
    ax = style.axes(ax, height=1.3 + 0.3 * len(task_names))
    size = 0 if not style.has_room(ax, len(experts_u), NUMBER_WIDTH) else 8 if len(experts_u) <= 12 else 6
    for task, row_e in enumerate(weights_te):
        for expert, column in zip(experts_u, columns_u, strict=True):
            color = style.FILL if shared_e[expert] else style.SECOND_FILL
            _cell(ax, column, task, row_e[expert], color, size)
    _name_cells(ax, experts_u, columns_u, task_names)
    used = f"One instance: {len(experts_u)} of {len(shared_e)} experts"
    style.label(ax, used, "executed experts, by their number", "")
    colors = {"shared by all tasks": style.FILL, "private": style.SECOND_FILL}
    patches = [Patch(facecolor=color, label=label) for label, color in colors.items()]
    style.legend_above(ax, handles=patches)
    return ax


def _columns(
    weights_te: NDArray[np.float64], shared_e: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Returns the executed experts, shared ones first, and the positions of their columns."""
    common_k = np.flatnonzero(shared_e)
    private_k = np.flatnonzero((weights_te > 0).any(axis=0) & ~shared_e)
    columns_u = np.arange(len(common_k) + len(private_k), dtype=np.float64)
    columns_u[len(common_k) :] += APART if len(common_k) else 0.0
    return np.concatenate([common_k, private_k]), columns_u


def _cell(ax: Axes, column: float, task: int, gate: float, color: str, size: int) -> None:
    """Fills a cell to the height of the gate, and writes the gate in it in letters of a size above 0."""
    left, bottom = column - SIDE / 2, task + SIDE / 2  # rows go down
    ax.add_patch(Rectangle((left, bottom), SIDE, -SIDE, facecolor=style.EMPTY, linewidth=0))
    if gate > 0:
        ax.add_patch(Rectangle((left, bottom), SIDE, -SIDE * gate, facecolor=color, linewidth=0))
        if size:
            text = f"{gate:.2f}".removeprefix("0")
            ax.text(column, task, text, ha="center", va="center", fontsize=size, color=style.INK)


def _name_cells(
    ax: Axes, experts_u: NDArray[np.intp], columns_u: NDArray[np.float64], task_names: Sequence[str]
) -> None:
    right = columns_u[-1] if len(columns_u) else 0.0
    ax.set(xlim=(-0.6, right + 0.6), ylim=(len(task_names) - 0.4, -0.6))
    turned = 0 if style.has_room(ax, len(experts_u), NUMBER_WIDTH) else 90
    ax.set_xticks(columns_u, labels=[str(expert) for expert in experts_u], rotation=turned)
    ax.set_yticks(np.arange(len(task_names)), labels=list(task_names))
    ax.tick_params(length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
