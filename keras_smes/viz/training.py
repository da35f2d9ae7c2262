"""Figures of a training run."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from keras_smes.viz import style


def training_curves(
    history: Mapping[str, Sequence[float]], ax: Axes | None = None, *, label: str | None = None
) -> Axes:
    """Draws the training and validation loss by epoch.

    To compare models, call it once for each on the same axes, with a `label` each: a model keeps
    one colour and marker, solid and filled for training, dashed and hollow for validation.

    Args:
        history: The losses of each epoch under `"loss"` and, if there are any, `"val_loss"`, in the
            unit of the loss: `keras.callbacks.History.history` as it is. Other keys are ignored.
        ax: Matplotlib axes to draw on. `None`, the default, makes a new figure.
        label: Name of the model for the legend. Defaults to `None`, no name.

    Returns:
        The axes.

    Raises:
        ValueError: If `"loss"` is missing or empty, or `"val_loss"` is not as long as `"loss"`.

    Example:

    >>> from keras_smes.viz import training_curves
    >>> ax = training_curves({"loss": [0.60, 0.55], "val_loss": [0.58, 0.57]}, label="SMES")
    >>> ax = training_curves({"loss": [0.62, 0.57], "val_loss": [0.60, 0.58]}, ax, label="MMoE")
    """
    losses, val_losses = _losses(history)
    prefix = f"{label}, " if label else ""
    epochs = np.arange(1, len(losses) + 1)
    ax = style.axes(ax)
    (line,) = ax.plot(epochs, losses, markersize=4, label=f"{prefix}training")
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
    style.label(ax, "Loss by epoch", "epoch", "loss (mean per row)")
    style.legend_above(ax, columns=2)
    return ax


def _losses(history: Mapping[str, Sequence[float]]) -> tuple[list[float], list[float]]:
    losses, val_losses = list(history.get("loss", [])), list(history.get("val_loss", []))
    if not losses or (val_losses and len(val_losses) != len(losses)):
        lengths = {name: len(values) for name, values in history.items()}
        raise ValueError(
            "`history` must hold 'loss' for one epoch or more, and 'val_loss' for the same epochs if at all. "
            f"Received lengths: {lengths}"
        )
    return losses, val_losses
