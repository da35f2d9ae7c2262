"""Plots of routing: expert load, experts by task, executed experts."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from keras_smes.viz import style

NUMBER_WIDTH = 0.28  # inches that a number in a cell needs
MOST_BARS_APART = 100  # more leave no pixel for a gap
FAR = 12  # bounds per pool size; beyond, the full axis would make the bars slivers


def expert_load(load: ArrayLike, ax: Axes | None = None, *, sort: bool = False) -> Axes:
    """Draws each expert's share of the executed pairs as bars, with the uniform share 1/E as a line.

    Args:
        load: `[E]`, shares or counts of executed (instance, expert) pairs; drawn as shares in per
            cent. `expert_load` of `RoutingHealth.result()`.
        ax: Axes to draw on. `None`, the default, creates a new figure.
        sort: Whether to order the experts from most to least loaded, which shows the skew, instead
            of by index. Defaults to `False`.

    Returns:
        The axes.

    Raises:
        ValueError: If `load` is not a vector of finite, non-negative numbers, or is all zero.

    Example:

    >>> ax = expert_load([30, 10, 40, 20])
    """
    load_e = style.shares("load", load)
    if sort:
        load_e = np.sort(load_e)[::-1]
    uniform = 1 / len(load_e)
    ax = style.axes(ax)
    width = 0.8 if len(load_e) <= MOST_BARS_APART else 1.0
    ax.bar(np.arange(len(load_e)), load_e, width=width, color=style.FILL)
    ax.axhline(uniform, color=style.INK, linestyle="--", linewidth=1, label=f"uniform, 1/E = {uniform:.2%}")
    ax.set_xlim(-0.6, len(load_e) - 0.4)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(style.percent())
    x = "expert, from most to least loaded" if sort else "expert"
    style.label(ax, "Load by expert", x, "share of executed pairs")
    style.legend_above(ax)
    return ax


def task_expert_heatmap(share_te: ArrayLike, task_names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draws how each task distributes its choices over the experts, one row per task.

    The dash on the colour bar is the uniform share 1/E. Cells show their numbers where there is room, such as
    for 16 experts on a separate figure.

    Args:
        share_te: `[T, E]`, the share of task t's choices that fell on expert e, in [0, 1]:
            `task_expert_share` of `RoutingHealth.result()`.
        task_names: T names, in the order of the rows.
        ax: Axes to draw on. `None`, the default, creates a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If `share_te` is not a matrix of numbers in [0, 1] with a row for each name.

    Example:

    >>> ax = task_expert_heatmap([[0.5, 0.5, 0.0], [0.5, 0.1, 0.4]], ["click", "like"])
    """
    matrix_te = style.matrix_in_unit_range("share_te", share_te, task_names)
    num_tasks, num_experts = matrix_te.shape
    ax = style.axes(ax, height=1.4 + 0.3 * num_tasks)
    image = ax.imshow(matrix_te, cmap=style.SEQUENTIAL, vmin=0, aspect="auto", interpolation="nearest")
    scale = style.color_bar(ax, image, "dash: uniform, 1/E", format=style.percent())
    scale.axhline(1 / num_experts, color=style.ON_LIGHT, linewidth=1.5)
    if style.has_room(ax, num_experts, NUMBER_WIDTH):
        style.write_cells(ax, matrix_te, matrix_te.max(), ".0%")
    ax.set_yticks(np.arange(num_tasks), labels=list(task_names))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.label(ax, "Experts by task: share of the task's choices", "expert", "")
    return ax


def union_sizes(counts: ArrayLike, bound: int, num_experts: int, ax: Axes | None = None) -> Axes:
    """Draws how many experts an instance executes, with the bound and the pool's size as lines.

    Args:
        counts: `[S]`, the number (or share) of instances that execute 0, 1, ..., S - 1 experts, with
            S at most E + 1: `union_sizes` of `RoutingHealth.result()`.
        bound: Maximum number of experts that an instance can execute, `min(E, K_s + sum_t K_a[t])`.
        num_experts: E, the number of experts in the pool.
        ax: Axes to draw on. `None`, the default, creates a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If `counts` is not a vector of finite, non-negative numbers, is all zero or is
            longer than E + 1, or `bound` is not in [1, E].

    Example:

    >>> ax = union_sizes([0, 0, 10, 70, 20], bound=4, num_experts=8)
    """
    share_s = style.shares("counts", counts)
    if len(share_s) > num_experts + 1 or not 1 <= bound <= num_experts:
        raise ValueError(
            "`counts` must have at most num_experts + 1 entries and `bound` be in [1, num_experts]. "
            f"Received: len(counts)={len(share_s)}, bound={bound}, num_experts={num_experts}"
        )
    size_s = np.arange(len(share_s))
    mean = float(size_s @ share_s)
    ax = style.axes(ax)
    ax.bar(size_s, share_s, width=0.8, color=style.FILL, label=f"instances, mean {mean:.2f}")
    _mark_sizes(ax, bound, num_experts)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(style.percent())
    style.label(ax, "Executed experts", "experts that an instance executes", "share of instances")
    style.legend_above(ax)
    return ax


def task_overlap(overlap_tt: ArrayLike, task_names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draws the overlap of each pair of tasks' experts, as a matrix.

    The overlap is the mean Jaccard index over instances, experts that both tasks chose over experts that
    either chose: 0 is disjoint, 1 is the same set. The diagonal, always 1, is left blank.

    Args:
        overlap_tt: `[T, T]`, in [0, 1]: `task_overlap_matrix` of `RoutingHealth.result()`.
        task_names: T names, in the order of rows and columns.
        ax: Axes to draw on. `None`, the default, creates a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If `overlap_tt` is not a square matrix of numbers in [0, 1] with a row for each name.

    Example:

    >>> ax = task_overlap([[1.0, 0.4], [0.4, 1.0]], ["click", "like"])
    """
    matrix_tt = style.matrix_in_unit_range("overlap_tt", overlap_tt, task_names).copy()
    if matrix_tt.shape[0] != matrix_tt.shape[1]:
        raise ValueError(f"`overlap_tt` must be square. Received: overlap_tt.shape={matrix_tt.shape}")
    np.fill_diagonal(matrix_tt, np.nan)
    places = np.arange(len(task_names))
    ax = style.axes(ax, width=3.6 + 0.34 * len(task_names), height=2.0 + 0.3 * len(task_names))
    image = ax.imshow(matrix_tt, cmap=style.SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest")
    style.color_bar(ax, image, "Jaccard index")
    if style.has_room(ax, len(task_names), NUMBER_WIDTH):
        style.write_cells(ax, matrix_tt, 1.0, ".2f")
    ax.set_xticks(places, labels=list(task_names), rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(places, labels=list(task_names))
    style.label(ax, "Overlap of tasks", "", "")
    return ax


def load_by_epoch(load_ne: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draws each expert's load by epoch, as a heat map of load over mean load.

    An expert without load is a white row; one with growing load becomes darker to the right.

    Args:
        load_ne: `[N, E]`, each expert's share of the executed pairs (or their count) after each of N
            epochs: `expert_load` of each of `RoutingMonitor.results`.
        ax: Axes to draw on. `None`, the default, creates a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If `load_ne` is not a matrix, or a row is not finite, negative or all zero.

    Example:

    >>> ax = load_by_epoch([[0.25, 0.25, 0.25, 0.25], [0.4, 0.3, 0.3, 0.0]])
    """
    rows = np.asarray(load_ne, np.float64)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"`load_ne` must be [N, E]. Received: load_ne.shape={rows.shape}")
    over_mean_en = np.stack([style.shares("load_ne", row_e) * len(row_e) for row_e in rows], axis=1)
    epochs, num_experts = rows.shape
    ax = style.axes(ax)
    image = ax.imshow(
        over_mean_en,
        cmap=style.SEQUENTIAL,
        vmin=0,
        vmax=max(2.0, over_mean_en.max()),
        aspect="auto",
        interpolation="nearest",
        extent=(0.5, epochs + 0.5, num_experts - 0.5, -0.5),
    )
    scale = style.color_bar(ax, image, "load over mean load (dash: 1)")
    scale.axhline(1.0, color=style.ON_LIGHT, linewidth=1.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    style.label(ax, "Load by epoch", "epoch", "expert")
    return ax


def _mark_sizes(ax: Axes, bound: int, num_experts: int) -> None:
    name = f"bound = E = {bound}" if bound == num_experts else f"bound, {bound}"
    ax.axvline(bound, color=style.INK, linestyle="--", linewidth=1, label=name)
    if bound < num_experts:
        ax.axvline(num_experts, color=style.INK, linestyle=":", linewidth=1.5, label=f"E = {num_experts}")
    if num_experts <= FAR * bound:
        ax.set_xlim(-0.6, num_experts + 0.6)
        return
    ax.set_xlim(-0.6, 3 * bound + 0.6)
    arrow, text = {"arrowstyle": "-|>", "color": style.INK}, f"E = {num_experts}"
    place = ax.annotate(text, (1.0, 0.5), (0.85, 0.5), xycoords="axes fraction", arrowprops=arrow)
    place.set(va="center", fontsize=8, color=style.INK)
