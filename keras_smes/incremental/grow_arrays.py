"""Grows arrays: old entries keep their values at their new indices."""

from collections.abc import Mapping

import numpy as np

FRESH = -1
# By axis: for each index, the index of its source before, or FRESH.
Sources = Mapping[int, np.ndarray]


def carry(name: str, fresh: np.ndarray, old: np.ndarray, sources: Sources) -> np.ndarray:
    """Returns the values of a grown array, from its old values and fresh ones.

    ```
    new[i, j, ...] = old[sources_0[i], sources_1[j], ...]     where none of them is FRESH
                     fresh[i, j, ...]                         elsewhere
    ```

    Args:
        name: Name of the array, for errors.
        fresh: Its initial values.
        old: Its values before it grew.
        sources: By axis, the index before of each index, or -1. Missing axes have not grown.

    Returns:
        An array like `fresh`.

    Raises:
        ValueError: The shapes differ along an axis that has not grown.

    Example:

    >>> fresh, old = np.zeros(4), np.array([1.0, 2.0])
    >>> carry("bias", fresh, old, {0: np.array([1, -1, 0, -1])}).tolist()
    [2.0, 0.0, 1.0, 0.0]
    """
    expected = tuple(
        fresh.shape[axis] if axis not in sources else old.shape[axis] for axis in range(old.ndim)
    )
    if fresh.ndim != old.ndim or old.shape != expected:
        raise ValueError(f"`{name}` must have shape {fresh.shape} as before. Received: shape {old.shape}")
    if not sources:
        return old
    places = [sources.get(axis, np.arange(length)) for axis, length in enumerate(fresh.shape)]
    kept = [np.flatnonzero(place != FRESH) for place in places]
    new = fresh.copy()
    new[np.ix_(*kept)] = old[np.ix_(*(place[to] for place, to in zip(places, kept, strict=True)))]
    return new


def sources_by_name(old: list[str], new: list[str]) -> np.ndarray:
    """Returns the index of each new name among the old ones, -1 if it is new."""
    places = {name: place for place, name in enumerate(old)}
    return np.array([places.get(name, FRESH) for name in new], np.int64)
