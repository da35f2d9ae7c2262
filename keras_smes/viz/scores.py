"""Plots of predicted probabilities."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator
from numpy.typing import ArrayLike, NDArray

from keras_smes.viz import style

RATES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)  # spaced for legible labels on the square root axis
SMALLEST_TOP = 0.02  # no axis ends under this rate


def calibration_curves(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], ax: Axes | None = None) -> Axes:
    """Draws observed against predicted rates, one line per task.

    On the diagonal a task is calibrated; below it, predictions are too high. Both axes show the square root
    of the rate, so that rare and frequent tasks are legible together.

    Args:
        curves: By task, two vectors with one entry per bin: mean predicted probability and share of
            positives, both in [0, 1]. `predicted` and `observed` of `reliability_curve` as they
            are: bins that hold NaN are empty, and left out.
        ax: Axes to draw on. `None`, the default, creates a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If `curves` is empty, or a task's vectors differ in length, hold a number outside of
            [0, 1], or have no bin with rows.

    Example:

    >>> ax = calibration_curves({"click": ([0.1, 0.3, 0.7], [0.12, 0.28, 0.75])})
    """
    if not curves:
        raise ValueError(f"`curves` must have at least one task. Received: curves={curves!r}")
    points = {task: _points(task, *own) for task, own in curves.items()}
    ax = style.axes(ax)
    top = min(1.0, max(SMALLEST_TOP, 1.05 * max(float(xy.max()) for xy in points.values())))
    ax.plot([0, top], [0, top], color=style.MUTED, linestyle=":", linewidth=1, marker="", label="calibrated")
    ax.set_prop_cycle(style.SERIES)  # the diagonal uses no colour of the cycle
    for task, (predicted, observed) in points.items():
        ax.plot(predicted, observed, markersize=4, linewidth=1, label=task)
    _scale(ax, top)
    style.label(ax, "Calibration", "predicted (mean of a bin)", "observed (share of positives)")
    style.legend_beside(ax)
    return ax


def _points(task: str, predicted: ArrayLike, observed: ArrayLike) -> NDArray[np.float64]:
    x, y = (np.asarray(values, np.float64) for values in (predicted, observed))
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            f"`curves` must have two vectors of one length per task. Received: {task!r} with shapes "
            f"{x.shape} and {y.shape}"
        )
    xy = np.stack([x, y])[:, ~(np.isnan(x) | np.isnan(y))]
    if not xy.size or not ((xy >= 0) & (xy <= 1)).all():
        raise ValueError(
            f"`curves` must be rates in [0, 1], with at least one bin. Received: {task!r} with {xy.tolist()}"
        )
    return xy


def _scale(ax: Axes, top: float) -> None:
    ax.set_xscale("function", functions=(_root, np.square))
    ax.set_yscale("function", functions=(_root, np.square))
    ax.set(xlim=(0, top), ylim=(0, top))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator([rate for rate in RATES if rate <= top]))
        axis.set_major_formatter(style.percent())


def _root(rate: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(np.clip(rate, 0, None))
