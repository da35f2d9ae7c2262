"""What became of each version of each model, as GetModelStatus tells it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import grpc

_LOOK_AGAIN_SECONDS: Final = 0.1


class State(IntEnum):
    """The states of a version, with the numbers of the API."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class Status:
    """Where a version stands.

    Args:
        state: `State`.
        code: `grpc.StatusCode`. Why it ended, OK otherwise.
        message: str. The text of the error, if there was one.

    Example:

    ```python
    Status(State.END, grpc.StatusCode.NOT_FOUND, "SavedModel file does not exist")
    ```
    """

    state: State
    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}" if self.message else self.state.name


class StateBoard:
    """Keeps the last state of every version ever seen. Any thread may write and read.

    Example:

    ```python
    board = StateBoard()
    board.publish("smes", 3, Status(State.LOADING))
    board.versions("smes")  # {3: Status(State.LOADING, ...)}
    ```
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._states: dict[str, dict[int, Status]] = {}
        self._written: dict[tuple[str, int], int] = {}
        self._clock = 0

    def publish(self, name: str, version: int, status: Status) -> None:
        """Writes the state of a version.

        Args:
            name: str. The model.
            version: int. The version.
            status: `Status`. Where it stands now.
        """
        with self._changed:
            self._clock += 1
            self._states.setdefault(name, {})[version] = status
            self._written[name, version] = self._clock
            self._changed.notify_all()

    def versions(self, name: str) -> dict[int, Status]:
        """Reads the states of a model's versions.

        Args:
            name: str. The model.

        Returns:
            dict of int to `Status`. The newest version first; empty for an unknown model.
        """
        with self._changed:
            states = self._states.get(name, {})
            return {version: states[version] for version in sorted(states, reverse=True)}

    def mark(self) -> int:
        """Remembers this moment, for `wait_for_models`.

        Returns:
            int. A number to hand in as `since`.
        """
        with self._changed:
            return self._clock

    def wait_for_models(
        self, names: Iterable[str], since: int = 0, gave_up: Callable[[], bool] = lambda: False
    ) -> dict[str, dict[int, Status]]:
        """Waits until each model has a version AVAILABLE, or has none that still could be.

        Args:
            names: iterable of str. The models.
            since: int. Only what was written after this `mark` counts.
            gave_up: function without arguments. Returns whether the caller has given up.

        Returns:
            dict. The models that failed, each with its versions and their states; empty if all
            are available, or if nobody waits any more.

        Example:

        ```python
        failed = board.wait_for_models(["smes"])
        ```
        """
        waiting, failed = set(names), {}
        with self._changed:
            while waiting and not gave_up():
                for name in sorted(waiting):
                    states = self._since(name, since)
                    ended = bool(states) and all(status.state == State.END for status in states.values())
                    if ended:
                        failed[name] = states
                    if ended or any(status.state == State.AVAILABLE for status in states.values()):
                        waiting.discard(name)
                if waiting:
                    self._changed.wait(_LOOK_AGAIN_SECONDS)
        return failed

    def _since(self, name: str, since: int) -> dict[int, Status]:
        states = self._states.get(name, {})
        return {version: status for version, status in states.items() if self._written[name, version] > since}
