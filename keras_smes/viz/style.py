"""The one style of all figures: set on an axes, so that no figure changes the caller's own settings."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.rcsetup import cycler
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray

INK = "#222222"
MUTED = "#767676"
FILL = "#7FA7C9"  # light enough that a line in INK stands out on it, in grey too
SEQUENTIAL = "Blues"  # one hue from light to dark: the order survives grey scale and colour blindness
SERIES = cycler(  # Okabe and Ito's colours from dark to light; the markers tell them apart in grey
    color=["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"],
    marker=["o", "s", "^", "D", "v", "P"],
)


def axes(ax: Axes | None, width: float = 6.4, height: float = 3.4) -> Axes:
    """Returns `ax`, or an axes of a new figure of `width` by `height` inches, in the house style."""
    if ax is None:
        from matplotlib import pyplot  # only here: with an axes given, no GUI backend is chosen

        _, ax = pyplot.subplots(figsize=(width, height), dpi=120, layout="constrained")
    if not ax.has_data():  # a second call on the same axes goes on with the colours
        ax.set_prop_cycle(SERIES)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(colors=INK, length=3, labelsize=9)
    ax.set_axisbelow(True)
    return ax


def label(ax: Axes, title: str, x: str, y: str) -> None:
    """Names the axes and what is drawn, the title on the left so that a legend fits beside it."""
    ax.set_title(title, loc="left", color=INK, fontsize=10, fontweight="bold")
    ax.set_xlabel(x, color=INK, fontsize=9)
    ax.set_ylabel(y, color=INK, fontsize=9)


def legend_above(ax: Axes, columns: int = 3) -> None:
    """Puts the legend above the plot's right half, where it can hide no data."""
    ax.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=8,
        borderaxespad=0.1,
        labelcolor=INK,
    )


def percent() -> PercentFormatter:
    """Writes shares in [0, 1] as per cent."""
    return PercentFormatter(xmax=1)


def shares(name: str, counts: ArrayLike) -> NDArray[np.float64]:
    """Returns the vector `counts` divided by its sum."""
    count_x = np.asarray(counts, np.float64)
    if count_x.ndim != 1 or not (np.isfinite(count_x) & (count_x >= 0)).all() or not count_x.any():
        raise ValueError(
            f"`{name}` must be one-dimensional, finite, not negative and not all zero. "
            f"Received: {name}={counts!r}"
        )
    return count_x / count_x.sum()
