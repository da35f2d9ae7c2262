"""The style of all plots, set per axes, so that the caller's settings don't change."""

from collections.abc import Callable, Sequence
from typing import IO, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.rcsetup import cycler
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

INK = "#222222"
MUTED = "#767676"
FILL = "#7FA7C9"  # light enough that a line in INK stands out on it, in grey too
SECOND_FILL = "#C3D5E5"  # lighter, distinct from FILL in grey
EMPTY = "#F0F0F0"
ON_LIGHT, ON_DARK = "#111111", "#FEFEFE"  # text within a heat map, whose colours don't depend on the page
SEQUENTIAL = "Blues"  # one hue from light to dark: the order survives grey scale and colour blindness
UNSTABLE = {"png": "Software", "svg": "Date"}  # entries of a file that differ for equal figures
# Okabe and Ito's colours from dark to light; markers distinguish them in grey, line styles a second six.
SERIES = cycler(linestyle=["-", "--"]) * cycler(
    color=["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"],
    marker=["o", "s", "^", "D", "v", "P"],
)


def axes(ax: Axes | None, width: float = 6.4, height: float = 3.4) -> Axes:
    """Returns `ax`, or an axes of a new figure of `width` by `height` inches, in the house style."""
    if ax is None:
        from matplotlib import pyplot  # imported here: with given axes, no GUI backend is selected

        _, ax = pyplot.subplots(figsize=(width, height), dpi=120, layout="constrained")
    if not ax.has_data():  # a second call on the same axes continues the colour cycle
        ax.set_prop_cycle(SERIES)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(colors=INK, length=3, labelsize=9)
    ax.set_axisbelow(True)
    return ax


def write_figure(
    draw: Callable[[Axes], Any],
    file: IO[bytes],
    size: tuple[float, float] = (7.2, 3.6),
    form: str = "png",
    **options: Any,
) -> None:
    """Draws on the axes of a new figure of `size` inches and writes it, equal figures as equal bytes."""
    figure = Figure(size, dpi=120, layout="constrained")  # pyplot would choose a GUI and keep the figure
    draw(axes(figure.add_subplot()))
    figure.savefig(file, format=form, metadata={UNSTABLE[form]: None}, **options)


def label(ax: Axes, title: str, x: str, y: str) -> None:
    """Labels the axes and sets the title, on the left so that a legend fits beside it."""
    ax.set_title(title, loc="left", color=INK, fontsize=10, fontweight="bold")
    ax.set_xlabel(x, color=INK, fontsize=9)
    ax.set_ylabel(y, color=INK, fontsize=9)


def legend_above(ax: Axes, columns: int = 3, handles: Sequence[Artist] | None = None) -> None:
    """Puts the legend above the plot's right half, where it hides no data."""
    ax.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=8,
        borderaxespad=0.1,
        labelcolor=INK,
    )


def legend_beside(ax: Axes) -> None:
    """Puts the legend to the right of the plot, where it has room for many entries."""
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, labelcolor=INK)


def percent() -> FuncFormatter:
    """Formats shares in [0, 1] as per cent, with as few digits as needed."""
    return FuncFormatter(lambda share, _: f"{100 * share:.3g}%")


def engineering(axis: Axis) -> None:
    """Formats the numbers of an axis, such as 20k and 5M; a logarithmic one has 1, 2 and 5 of each decade."""
    if axis.get_scale() == "log":
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(EngFormatter(sep=""))


def shares(name: str, counts: ArrayLike) -> NDArray[np.float64]:
    """Returns the vector `counts` divided by its sum."""
    count_x = np.asarray(counts, np.float64)
    if count_x.ndim != 1 or not (np.isfinite(count_x) & (count_x >= 0)).all() or not count_x.any():
        raise ValueError(
            f"`{name}` must be one-dimensional, finite, non-negative and not all zero. "
            f"Received: {name}={counts!r}"
        )
    return count_x / count_x.sum()


def matrix_in_unit_range(name: str, values: ArrayLike, task_names: Sequence[str]) -> NDArray[np.float64]:
    """Returns `values` as a matrix with a row for each task, of numbers in [0, 1]."""
    matrix_tx = np.asarray(values, np.float64)
    if matrix_tx.ndim != 2 or len(matrix_tx) != len(task_names) or not matrix_tx.size:
        raise ValueError(
            f"`{name}` must have two axes, and a row for each of `task_names`. "
            f"Received: {name}.shape={matrix_tx.shape}, task_names={list(task_names)}"
        )
    if not ((matrix_tx >= 0) & (matrix_tx <= 1)).all():
        raise ValueError(f"`{name}` must be in [0, 1]. Received: {name}={matrix_tx.tolist()}")
    return matrix_tx


def color_bar(ax: Axes, image: AxesImage, text: str, **kwargs: Any) -> Axes:
    """Puts the scale of a heat map beside it, and returns the axes of the scale."""
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02, **kwargs)
    bar.set_label(text, color=INK, fontsize=8)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=3, colors=INK)
    return bar.ax


def has_room(ax: Axes, columns: int, inches: float) -> bool:
    """Returns whether each of the columns has at least this width."""
    return ax.bbox.width / ax.figure.dpi >= columns * inches


def write_cells(ax: Axes, values: NDArray[np.float64], top: float, form: str) -> None:
    """Writes each number except NaN into its cell, in white on dark cells."""
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            color = ON_DARK if value > 0.65 * top else ON_LIGHT
            ax.text(column, row, f"{value:{form}}", ha="center", va="center", fontsize=7, color=color)
