"""The states of all versions, for GetModelStatus."""

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
    """The state of a version.

    Args:
        state: `State`.
        code: `grpc.StatusCode`. Why it ended, OK otherwise. Defaults to `grpc.StatusCode.OK`.
        message: str. The error message, if any. Defaults to `""`.
    """

    state: State
    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}" if self.message else self.state.name


class StateBoard:
    """Holds the last state of every version ever seen, for any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._states: dict[str, dict[int, Status]] = {}
        self._written: dict[tuple[str, int], int] = {}
        self._clock = 0

    def publish(self, name: str, version: int, status: Status) -> None:
        """Sets the state of a version."""
        with self._changed:
            self._clock += 1
            self._states.setdefault(name, {})[version] = status
            self._written[name, version] = self._clock
            self._changed.notify_all()

    def versions(self, name: str) -> dict[int, Status]:
        """Returns the states of a model's versions, newest first."""
        with self._changed:
            states = self._states.get(name, {})
            return {version: states[version] for version in sorted(states, reverse=True)}

    def mark(self) -> int:
        """Returns the current time of the board, for `wait_for_models`."""
        with self._changed:
            return self._clock

    def wait_for_models(
        self, names: Iterable[str], since: int = 0, gave_up: Callable[[], bool] = lambda: False
    ) -> dict[str, dict[int, Status]]:
        """Waits until each model has an available version, or all its versions have ended.

        Args:
            names: iterable of str. The models.
            since: int. Only states after this `mark` count. Defaults to 0.
            gave_up: function without arguments. Returns whether the caller has given up.

        Returns:
            dict. The failed models, each with its versions and their states.
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
