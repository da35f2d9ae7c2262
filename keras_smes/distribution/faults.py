"""A process of the job that is gone."""

import contextlib
from collections.abc import Iterator
from typing import Any


class LostProcessError(ConnectionError):
    """Another process of the job was lost, or ended with an error of its own.

    Args:
        whose: What was lost, as in `"a worker"`.
        received: What TensorFlow said.
    """

    def __init__(self, whose: str, received: str) -> None:
        self._given = whose, received
        super().__init__(
            f"The connection to {whose} was lost. Start all processes again by the same command: they go on "
            f"from the last checkpoint. Received: {received}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is unpickled from `args`, and those are not what `__init__` takes here.
        return type(self), self._given, self.__dict__


@contextlib.contextmanager
def lost_processes(whose: str) -> Iterator[None]:
    """Turns TensorFlow's errors of a lost connection into a `LostProcessError`.

    Args:
        whose: What is lost, as in `"a worker"`.
    """
    import tensorflow as tf

    errors = tf.errors
    lost = (errors.UnavailableError, errors.AbortedError, errors.CancelledError, errors.DeadlineExceededError)
    try:
        yield
    except lost as error:
        raise LostProcessError(whose, error.message.splitlines()[0]) from error
