"""Plots of the capacity and cost of models."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from keras_smes.viz import style


def cost_against_capacity(sizes: Mapping[str, tuple[ArrayLike, ArrayLike]], ax: Axes | None = None) -> Axes:
    """Draws multiplications per instance against parameters, a line or a point per model.

    On the diagonal every parameter is used once per instance, as in dense experts; models under it have
    more capacity than cost. Both axes are logarithmic.

    Args:
        sizes: By model, its positive parameters and multiplications per instance, numbers or vectors of one
            length: see `keras_smes.baselines.cost`.
        ax: Axes to draw on. `None`, the default, creates a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If `sizes` is empty, or a model's vectors are not positive or differ in length.

    Example:

    >>> sizes = {"dense": ([1e6, 4e6], [1e6, 4e6]), "SMES": ([1e6, 4e6], [5e5, 6e5])}
    >>> ax = cost_against_capacity(sizes)
    """
    if not sizes:
        raise ValueError(f"`sizes` must have at least one model. Received: sizes={sizes!r}")
    points = {model: _points(model, *own) for model, own in sizes.items()}
    ax = style.axes(ax)
    ax.set(xscale="log", yscale="log")
    ends = np.array([min(xy.min() for xy in points.values()), max(xy.max() for xy in points.values())])
    ends *= [0.7, 1.4]  # room around a single point
    ax.plot(ends, ends, color=style.MUTED, linestyle=":", linewidth=1, marker="", label="each used once")
    ax.set_prop_cycle(style.SERIES)  # the diagonal uses no colour of the cycle
    for model, (parameters, multiplications) in points.items():
        ax.plot(parameters, multiplications, markersize=5, linewidth=1, label=model)
    for axis in (ax.xaxis, ax.yaxis):
        style.engineering(axis)
    style.label(ax, "Cost against capacity", "parameters", "multiply-adds per row")
    style.legend_beside(ax)
    return ax


def _points(model: str, parameters: ArrayLike, multiplications: ArrayLike) -> NDArray[np.float64]:
    x, y = (np.atleast_1d(np.asarray(values, np.float64)) for values in (parameters, multiplications))
    if x.ndim != 1 or x.shape != y.shape or not x.size or not (np.minimum(x, y) > 0).all():
        raise ValueError(
            "`sizes` must have positive parameters and multiplications, equally many. "
            f"Received: {model!r} with {x.tolist()} and {y.tolist()}"
        )
    return np.stack([x, y])
