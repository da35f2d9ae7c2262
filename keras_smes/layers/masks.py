"""Masks of rows: padding, and rows that count for no task."""

import contextlib
import contextvars
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import keras
from keras import ops

from keras_smes.types import Tensor

# One of the rows, or one per tensor of a routing.
Mask: TypeAlias = Tensor | Mapping[str, Tensor | None] | None

# Keras passes sample weights to losses only. Replicas are traced in threads, each with its own context.
_counted: contextvars.ContextVar[Tensor | None] = contextvars.ContextVar("counted", default=None)


@contextlib.contextmanager
def counting(rows_b: Tensor) -> Iterator[None]:
    """Makes layers exclude rows that count for no task, false in `rows_b [B]`, from batch statistics."""
    token = _counted.set(rows_b)
    try:
        yield
    finally:
        _counted.reset(token)


def counted_rows(mask: Mask) -> Tensor | None:
    """Returns which rows count, bool `[B]`, by Keras' mask and by `counting`; `None` for all."""
    masks = [rows_b for rows_b in (row_mask(mask), _counted.get()) if rows_b is not None]
    return functools.reduce(ops.logical_and, masks) if masks else None


def row_mask(mask: Mask) -> Tensor | None:
    """Returns the mask `[B]` from one mask or one per tensor of a routing, whose rows are the same."""
    return next((tensor for tensor in keras.tree.flatten(mask) if tensor is not None), None)


def mask_all(tensors: Iterable[str], mask: Mask) -> dict[str, Tensor | None]:
    """Returns the mask of the rows for each tensor of a routing."""
    rows = row_mask(mask)
    return dict.fromkeys(tensors, rows)
