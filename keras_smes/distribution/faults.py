"""Errors of lost processes."""

import contextlib
from collections.abc import Iterator
from typing import Any


class LostProcessError(ConnectionError):
    """Another process of the job was lost, or stopped with an error."""

    def __init__(self, whose: str, received: str) -> None:
        self._given = whose, received
        super().__init__(
            f"The connection to {whose} was lost. Start all processes again with the same command: they "
            f"resume from the last checkpoint. Received: {received}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are unpickled from `args`, which differ from the arguments of `__init__` here.
        return type(self), self._given, self.__dict__


@contextlib.contextmanager
def lost_processes(whose: str) -> Iterator[None]:
    """Converts TensorFlow's errors of lost connections to `LostProcessError`."""
    import tensorflow as tf

    errors = tf.errors
    lost = (errors.UnavailableError, errors.AbortedError, errors.CancelledError, errors.DeadlineExceededError)
    try:
        yield
    except lost as error:
        raise LostProcessError(whose, error.message.splitlines()[0]) from error
