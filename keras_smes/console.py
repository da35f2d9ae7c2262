"""What is written to the terminal: results, errors, progress."""

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")


def show(text: str) -> None:
    """Prints a result, at once even into a pipe."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Prints an error on stderr, on one line."""
    print(" ".join(text.splitlines()), file=sys.stderr, flush=True)


def track(items: Iterable[Item], label: str, verbose: int, total: int | None = None) -> Iterator[Item]:
    """Yields `items` behind Keras' progress bar, of `total` items or their number, if `verbose`."""
    if not verbose:
        yield from items
        return
    import keras  # on use: this module is imported before TensorFlow

    if total is None:
        assert isinstance(items, Sized)
        total = len(items)
    show(label)
    bar = keras.utils.Progbar(total, unit_name="part", interval=0.5)
    for item in items:
        yield item
        bar.add(1)
