"""Loads and unloads versions without a gap in service."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import tensorflow as tf

from keras_smes_serving.protocol.errors import ServingError, status_code
from keras_smes_serving.server.models.states import State, StateBoard, Status
from keras_smes_serving.server.runtime.servable import Servable

_LOG: Final = logging.getLogger(__name__)

Loader = Callable[[Path], Servable]


@dataclass
class Version:
    """A managed version: whether it should be served, and its state."""

    directory: Path
    aspired: bool = True
    scheduled: bool = False
    state: State = State.START
    servable: Servable | None = None
    uses: int = 0


class Manager:
    """Loads the versions that should be served, and unloads the others.

    A new version is loaded before an old one is unloaded, and an old one stays until a version that should be
    served is ready. Unloading waits for requests in flight.

    Args:
        load: function of a directory to `Servable`. Raises if the version can't be served.
        board: `StateBoard`. Receives every change.
        max_load_retries: int. Maximum retries of a failed load. Defaults to 5.
        retry_seconds: float. Pause before each retry. Defaults to 60.
        load_threads: int. Maximum concurrent loads. Defaults to 1.
        unload_threads: int. Maximum concurrent unloads. Defaults to 1.
    """

    def __init__(
        self,
        load: Loader,
        board: StateBoard,
        max_load_retries: int = 5,
        retry_seconds: float = 60.0,
        load_threads: int = 1,
        unload_threads: int = 1,
    ) -> None:
        self._load = load
        self._board = board
        self._max_load_retries = max_load_retries
        self._retry_seconds = retry_seconds
        self._loads = ThreadPoolExecutor(load_threads, "load")
        self._unloads = ThreadPoolExecutor(unload_threads, "unload")
        self._models: dict[str, dict[int, Version]] = {}
        self._closing = False
        self._changed = threading.Condition()

    def aspire(self, name: str, directories: Mapping[int, Path]) -> None:
        """Sets the versions of a model to serve, with their directories; none unloads the model."""
        with self._changed:
            if self._closing:
                return
            versions = self._models.setdefault(name, {})
            for number, version in versions.items():
                version.aspired = number in directories
            self._forget_ended(name)
            for number, directory in directories.items():
                if number not in versions:
                    versions[number] = Version(directory)
                    self._board.publish(name, number, Status(State.START))
            self._advance(name)
            self._changed.notify_all()

    @contextmanager
    def use(self, name: str, number: int | None = None) -> Iterator[tuple[int, Servable]]:
        """Lends an available version, the highest by default, which isn't unloaded in the meantime.

        Raises:
            ServingError: NOT_FOUND, if there is none.
        """
        with self._changed:
            number, version = self._available(name, number)
            version.uses += 1
        try:
            assert version.servable is not None
            yield number, version.servable
        finally:
            with self._changed:
                version.uses -= 1
                if version.state is State.UNLOADING:
                    self._changed.notify_all()

    def close(self, timeout: float = threading.TIMEOUT_MAX) -> None:
        """Unloads everything after requests in flight, or gives up after the timeout in seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._loads.shutdown(wait=False, cancel_futures=True)
        with self._changed:
            self._wait_until_none_is(deadline, State.LOADING)
            for name, versions in self._models.items():
                for number, version in versions.items():
                    if version.state is State.AVAILABLE:
                        self._start_unload(name, number, version)
            self._wait_until_none_is(deadline, State.UNLOADING)
        self._unloads.shutdown(wait=False)

    def _wait_until_none_is(self, deadline: float, state: State) -> None:
        def none_is() -> bool:
            return all(v.state is not state for versions in self._models.values() for v in versions.values())

        self._changed.wait_for(none_is, max(0.0, deadline - time.monotonic()))

    def _available(self, name: str, number: int | None) -> tuple[int, Version]:
        versions = self._models.get(name, {})
        numbers = [found for found, version in versions.items() if version.state is State.AVAILABLE]
        if numbers and number is None:
            number = max(numbers)
        elif number not in numbers:
            wanted = f"Latest({name})" if number is None else f"Specific({name}, {number})"
            text = f"Servable not found for request: {wanted}"
            raise ServingError(grpc.StatusCode.NOT_FOUND, text)
        assert number is not None
        return number, versions[number]

    def _forget_ended(self, name: str) -> None:
        """Drops failed versions that aren't wanted, so that they are retried if they return."""
        versions = self._models[name]
        for number in [n for n, v in versions.items() if not v.aspired and v.state is State.END]:
            del versions[number]

    def _advance(self, name: str) -> None:
        """Starts every load and unload that is possible now."""
        versions = self._models[name]
        while (unwanted := unloadable(versions)) is not None:
            self._start_unload(name, unwanted, versions[unwanted])
        fresh = [number for number, version in versions.items() if version.aspired and not version.scheduled]
        for number in sorted(fresh, reverse=True):
            versions[number].scheduled = True
            self._loads.submit(self._load_version, name, number, versions[number])

    def _start_unload(self, name: str, number: int, version: Version) -> None:
        self._set(name, number, version, State.UNLOADING)
        self._unloads.submit(self._unload_version, name, number, version)

    def _load_version(self, name: str, number: int, version: Version) -> None:
        with self._changed:
            self._set(name, number, version, State.LOADING)
        status = self._try_to_load(name, number, version)
        with self._changed:
            version.state = status.state
            self._board.publish(name, number, status)
            if status.state is State.AVAILABLE:
                _LOG.info("Version %d of model %s is available", number, name)
            self._forget_ended(name)
            self._changed.notify_all()
            if not self._closing:
                self._advance(name)

    def _try_to_load(self, name: str, number: int, version: Version) -> Status:
        status = Status(State.END)
        for attempt in range(self._max_load_retries + 1):
            if not self._wanted(version, after=self._retry_seconds if attempt else 0.0):
                break
            try:
                version.servable = self._load(version.directory)
                return Status(State.AVAILABLE)
            except Exception as error:  # a model file can cause any error
                status = Status(State.END, *_status_of(error))
                _LOG.error("Loading version %d of model %s failed: %s", number, name, status)
        return status

    def _wanted(self, version: Version, after: float) -> bool:
        """Waits before a retry; False, at once, if the version is no longer wanted."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or not version.aspired, max(0.0, after))
            return version.aspired and not self._closing

    def _unload_version(self, name: str, number: int, version: Version) -> None:
        with self._changed:
            self._changed.wait_for(lambda: version.uses == 0)
            servable, version.servable = version.servable, None
        if servable is not None:
            servable.close()
        with self._changed:
            self._set(name, number, version, State.END)
            wanted_again = version.aspired and not self._closing
            del self._models[name][number]
            self._changed.notify_all()
            if wanted_again:
                self._models[name][number] = Version(version.directory)
                self._board.publish(name, number, Status(State.START))
                self._advance(name)
        _LOG.info("Version %d of model %s is unloaded", number, name)

    def _set(self, name: str, number: int, version: Version, state: State) -> None:
        version.state = state
        self._board.publish(name, number, Status(state))


def unloadable(versions: Mapping[int, Version]) -> int | None:
    """Returns the next version of a model that can be unloaded without a gap in service.

    This is the lowest available version that isn't wanted, if no version is wanted, a wanted one is
    available, or another unwanted one stays available.
    """
    ready = {number: v for number, v in versions.items() if v.state is State.AVAILABLE}
    unwanted = sorted(number for number, version in ready.items() if not version.aspired)
    wanted = any(version.aspired for version in versions.values())
    if unwanted and (not wanted or len(ready) > len(unwanted) or len(unwanted) > 1):
        return unwanted[0]
    return None


def _status_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    """The code and the message of a failed load."""
    if isinstance(error, ServingError):
        return error.code, error.message
    if isinstance(error, tf.errors.OpError):
        return status_code(error.error_code), error.message
    if isinstance(error, (OSError, ValueError)):
        code = grpc.StatusCode.NOT_FOUND if isinstance(error, OSError) else grpc.StatusCode.INVALID_ARGUMENT
        return code, str(error)
    return grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}"
