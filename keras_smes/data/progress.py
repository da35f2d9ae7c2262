"""A progress bar for steps that take long."""

from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Iterable[Item], label: str, verbose: int, total: int | None = None) -> Iterator[Item]:
    """Yields `items`, with a bar of Keras that says how many are done.

    Args:
        items: What is gone through.
        label: What is being done, such as `"Reading the log"`.
        verbose: `0` shows nothing, `1` the bar.
        total: How many items there are. `None`, the default, asks `items`.
    """
    if not verbose:
        yield from items
        return
    import keras  # on use: reading data needs no Keras

    if total is None:
        assert isinstance(items, Sized)
        total = len(items)
    print(label, flush=True)
    bar = keras.utils.Progbar(total, unit_name="part", interval=0.5)
    for item in items:
        yield item
        bar.add(1)
