"""Figures of a training run."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from keras_smes.viz import style


def training_curves(
    history: Mapping[str, Sequence[float]],
    ax: Axes | None = None,
    *,
    label: str | None = None,
    name: str = "loss",
) -> Axes:
    """Draws the training and validation loss by epoch.

    To compare models, call it once for each on the same axes, with a `label` each: a model keeps
    one colour and marker, solid and filled for training, dashed and hollow for validation.

    Args:
        history: The losses of each epoch under `name` and, if there are any, `val_` and `name`, in the
            unit of the loss: `keras.callbacks.History.history` as it is. Other keys are ignored.
        ax: Matplotlib axes to draw on. `None`, the default, makes a new figure.
        label: Name of the model for the legend. Defaults to `None`, no name.
        name: Which loss, such as a task's `"click_loss"`. Defaults to `"loss"`, the whole one.

    Returns:
        The axes.

    Raises:
        ValueError: If `name` is missing or empty, or what was measured in validation is not as long.

    Example:

    >>> from keras_smes.viz import training_curves
    >>> ax = training_curves({"loss": [0.60, 0.55], "val_loss": [0.58, 0.57]}, label="SMES")
    >>> ax = training_curves({"loss": [0.62, 0.57], "val_loss": [0.60, 0.58]}, ax, label="MMoE")
    """
    losses, val_losses = _losses(history, name)
    prefix = f"{label}, " if label else ""
    epochs = np.arange(1, len(losses) + 1)
    ax = style.axes(ax)
    (line,) = ax.plot(epochs, losses, linestyle="-", markersize=4, label=f"{prefix}training")
    if val_losses:
        ax.plot(
            epochs,
            val_losses,
            color=line.get_color(),
            marker=line.get_marker(),
            markersize=4,
            markerfacecolor="white",
            linestyle="--",
            label=f"{prefix}validation",
        )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    title = "Loss" if name == "loss" else name.replace("_", " ").capitalize()
    style.label(ax, f"{title} by epoch", "epoch", "loss (mean per row)")
    style.legend_above(ax, columns=2)
    return ax


def _losses(history: Mapping[str, Sequence[float]], name: str) -> tuple[list[float], list[float]]:
    losses, val_losses = list(history.get(name, [])), list(history.get(f"val_{name}", []))
    if not losses or (val_losses and len(val_losses) != len(losses)):
        lengths = {name: len(values) for name, values in history.items()}
        raise ValueError(
            f"`history` must hold {name!r} for one epoch or more, and 'val_{name}' for the same epochs if at "
            f"all. Received lengths: {lengths}"
        )
    return losses, val_losses
