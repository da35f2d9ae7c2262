"""Masks of instances: which rows of a batch are real, and which pad it or count for no task."""

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_smes.types import Tensor

# Of the step that is being built: Keras hands sample weights to losses alone. Replicas are built in threads,
# in turns, and each has a context of its own.
_counted: contextvars.ContextVar[Tensor | None] = contextvars.ContextVar("counted", default=None)


@contextlib.contextmanager
def counting(rows_b: Tensor) -> Iterator[None]:
    """Within, layers leave rows out of what they take from the batch as a whole.

    Args:
        rows_b: Bool `[B]`, whether a row counts for any task.
    """
    token = _counted.set(rows_b)
    try:
        yield
    finally:
        _counted.reset(token)


def counted_rows(mask: Any) -> Tensor | None:
    """Returns which rows count, bool `[B]`: those of Keras' mask, and of `counting`; `None` for all."""
    masks = [rows_b for rows_b in (row_mask(mask), _counted.get()) if rows_b is not None]
    return functools.reduce(ops.logical_and, masks) if masks else None


def row_mask(mask: Any) -> Tensor | None:
    """Returns the mask `[B]` in what Keras hands a layer: one, or one for each tensor of a routing.

    The tensors of a routing stem from the same rows, so that any of their masks is the mask.
    """
    return next((tensor for tensor in keras.tree.flatten(mask) if tensor is not None), None)


def mask_all(tensors: dict[str, Any], mask: Any) -> dict[str, Tensor | None]:
    """Returns the mask of the rows for each tensor of a routing."""
    rows = row_mask(mask)
    return dict.fromkeys(tensors, rows)
