"""Masks of instances: which rows of a batch are real, and which pad it."""

from typing import Any

import keras

Tensor = Any


def row_mask(mask: Any) -> Tensor | None:
    """Returns the mask `[B]` in what Keras hands a layer: one, or one for each tensor of a routing.

    The tensors of a routing stem from the same rows, so that any of their masks is the mask.
    """
    return next((tensor for tensor in keras.tree.flatten(mask) if tensor is not None), None)


def mask_all(tensors: dict[str, Any], mask: Any) -> dict[str, Tensor | None]:
    """Returns the mask of the rows for each tensor of a routing."""
    rows = row_mask(mask)
    return dict.fromkeys(tensors, rows)
