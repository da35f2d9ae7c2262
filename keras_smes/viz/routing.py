"""Figures of routing: who works how much, who works for whom, how many work at once."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from keras_smes.viz import style

MOST_EXPERTS_WITH_NUMBERS = 16  # more columns than this leave no room for a number in each cell


def expert_load(load: ArrayLike, ax: Axes | None = None, *, sort: bool = False) -> Axes:
    """Draws each expert's share of the executed pairs as bars, with the uniform share 1/E as a line.

    Args:
        load: `[E]`, shares or counts of executed (instance, expert) pairs; drawn as shares in per
            cent. `expert_load` of `RoutingHealth.result()` as it is.
        ax: Matplotlib axes to draw on. `None`, the default, makes a new figure.
        sort: Whether to order the experts from most to least loaded, which shows the skew, instead
            of by index. Defaults to `False`.

    Returns:
        The axes.

    Raises:
        ValueError: If `load` is not a vector of finite, non-negative numbers, or is all zero.

    Example:

    >>> from keras_smes.viz import expert_load
    >>> ax = expert_load([30, 10, 40, 20])
    """
    load_e = style.shares("load", load)
    if sort:
        load_e = np.sort(load_e)[::-1]
    uniform = 1 / len(load_e)
    ax = style.axes(ax)
    ax.bar(np.arange(len(load_e)), load_e, width=0.8, color=style.FILL)
    ax.axhline(uniform, color=style.INK, linestyle="--", linewidth=1, label=f"uniform, 1/E = {uniform:.2%}")
    ax.set_xlim(-0.6, len(load_e) - 0.4)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(style.percent())
    x = "expert, from most to least loaded" if sort else "expert"
    style.label(ax, "Load by expert", x, "share of executed pairs")
    style.legend_above(ax)
    return ax


def task_expert_heatmap(share_te: ArrayLike, task_names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draws how each task spreads its choices over the experts, a row for each task.

    The dash on the colour bar is the uniform share 1/E. With 16 experts or fewer, each cell carries
    its number.

    Args:
        share_te: `[T, E]`, the share of task t's choices that fell on expert e, in [0, 1]:
            `task_expert_share` of `RoutingHealth.result()` as it is.
        task_names: T names, in the order of the rows.
        ax: Matplotlib axes to draw on. `None`, the default, makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If `share_te` is not a matrix of numbers in [0, 1] with a row for each name.

    Example:

    >>> from keras_smes.viz import task_expert_heatmap
    >>> ax = task_expert_heatmap([[0.5, 0.5, 0.0], [0.5, 0.1, 0.4]], ["click", "like"])
    """
    share_te = _share_matrix(share_te, task_names)
    num_tasks, num_experts = share_te.shape
    ax = style.axes(ax, height=1.4 + 0.3 * num_tasks)
    image = ax.imshow(share_te, cmap=style.SEQUENTIAL, vmin=0, aspect="auto", interpolation="nearest")
    bar = ax.figure.colorbar(image, ax=ax, format=style.percent(), pad=0.02)
    bar.ax.axhline(1 / num_experts, color=style.INK, linewidth=1.5)
    bar.set_label("dash: uniform, 1/E", color=style.INK, fontsize=8)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=3, colors=style.INK)
    if num_experts <= MOST_EXPERTS_WITH_NUMBERS:
        _write_cells(ax, share_te)
    ax.set_yticks(np.arange(num_tasks), labels=list(task_names))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.label(ax, "Experts by task: share of the task's choices", "expert", "")
    return ax


def union_sizes(counts: ArrayLike, bound: int, num_experts: int, ax: Axes | None = None) -> Axes:
    """Draws how many experts an instance executes, with the bound and the pool's size as lines.

    Args:
        counts: `[S]`, the number (or share) of instances that execute 0, 1, ..., S - 1 experts, with
            S at most E + 1: `union_sizes` of `RoutingHealth.result()` as it is.
        bound: The most experts an instance can execute, `min(E, K_s + sum_t K_a[t])`.
        num_experts: E, the number of experts in the pool.
        ax: Matplotlib axes to draw on. `None`, the default, makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If `counts` is not a vector of finite, non-negative numbers, is all zero or is
            longer than E + 1, or `bound` is not in [1, E].

    Example:

    >>> from keras_smes.viz import union_sizes
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
    ax.set_xlim(-0.6, num_experts + 0.6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(style.percent())
    style.label(ax, "Executed experts", "experts that an instance executes", "share of instances")
    style.legend_above(ax)
    return ax


def _mark_sizes(ax: Axes, bound: int, num_experts: int) -> None:
    if bound == num_experts:  # one line, not two on top of each other
        ax.axvline(bound, color=style.INK, linestyle="--", linewidth=1, label=f"bound = E = {bound}")
        return
    ax.axvline(bound, color=style.INK, linestyle="--", linewidth=1, label=f"bound, {bound}")
    ax.axvline(num_experts, color=style.INK, linestyle=":", linewidth=1.5, label=f"E = {num_experts}")


def _share_matrix(share_te: ArrayLike, task_names: Sequence[str]) -> NDArray[np.float64]:
    matrix_te = np.asarray(share_te, np.float64)
    if matrix_te.ndim != 2 or len(matrix_te) != len(task_names) or not matrix_te.size:
        raise ValueError(
            "`share_te` must be [T, E] with a row for each of `task_names`. "
            f"Received: share_te.shape={matrix_te.shape}, task_names={list(task_names)}"
        )
    if not ((matrix_te >= 0) & (matrix_te <= 1)).all():
        raise ValueError(f"`share_te` must be in [0, 1]. Received: share_te={matrix_te.tolist()}")
    return matrix_te


def _write_cells(ax: Axes, share_te: NDArray[np.float64]) -> None:
    """Writes each share into its cell, in white where the cell is dark."""
    for (task, expert), share in np.ndenumerate(share_te):
        color = "white" if share > 0.65 * share_te.max() else style.INK
        ax.text(expert, task, f"{share:.0%}", ha="center", va="center", fontsize=7, color=color)
