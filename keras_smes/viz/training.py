"""Plots of a training run."""

from collections.abc import Mapping, Sequence
from typing import Any

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

    To compare models, call it once per model on the same axes, each with a `label`: a model has one colour
    and marker, solid and filled for training, dashed and hollow for validation.

    Args:
        history: Losses by epoch under `name`, and optionally `val_` and `name`, in the unit of the
            loss: `keras.callbacks.History.history`. Other keys are ignored.
        ax: Axes to draw on. `None`, the default, creates a new figure.
        label: Name of the model in the legend. Defaults to `None`, no name.
        name: Name of the loss, such as a task's `"click_loss"`. Defaults to `"loss"`, the total.

    Returns:
        The axes.

    Raises:
        ValueError: If `name` is missing or empty, or the validation losses have another length.

    Example:

    >>> ax = training_curves({"loss": [0.60, 0.55], "val_loss": [0.58, 0.57]}, label="SMES")
    >>> ax = training_curves({"loss": [0.62, 0.57], "val_loss": [0.60, 0.58]}, ax, label="MMoE")
    """
    losses, val_losses = list(history.get(name, [])), list(history.get(f"val_{name}", []))
    if not losses or (val_losses and len(val_losses) != len(losses)):
        lengths = {name: len(values) for name, values in history.items()}
        raise ValueError(
            f"`history` must hold {name!r} for at least one epoch, and 'val_{name}', if given, for the same "
            f"epochs. Received lengths: {lengths}"
        )
    prefix = f"{label}, " if label else ""
    epochs = np.arange(1, len(losses) + 1)
    ax = style.axes(ax)
    (line,) = ax.plot(epochs, losses, linestyle="-", markersize=4, label=f"{prefix}training")
    if val_losses:
        hollow: dict[str, Any] = {"marker": line.get_marker(), "markersize": 4, "markerfacecolor": "white"}
        (dashed,) = ax.plot(epochs, val_losses, color=line.get_color(), linestyle="--", **hollow)
        dashed.set_label(f"{prefix}validation")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    title = "Loss" if name == "loss" else name.replace("_", " ").capitalize()
    style.label(ax, f"{title} by epoch", "epoch", "loss (mean per row)")
    style.legend_above(ax, columns=2)
    return ax
