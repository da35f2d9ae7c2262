"""Loads and unloads versions so that a model that can answer never stops answering."""

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
    """A version under management: wanted or not, and how far it has come."""

    directory: Path
    aspired: bool = True
    scheduled: bool = False
    state: State = State.START
    servable: Servable | None = None
    uses: int = 0


class Manager:
    """Brings the versions that should be served into service, and takes the others out.

    A new version is loaded before an old one is unloaded, and an old one stays for as long as
    none that should be served is ready. Unloading waits for the requests under way.

    Args:
        load: function of a directory to `Servable`. Raises if the version can't be served.
        board: `StateBoard`. Is told every change.
        max_load_retries: int. How often a failed load is tried again. Defaults to 5.
        retry_seconds: float. The wait before each retry. Defaults to 60.
        load_threads: int. How many versions load at a time. Defaults to 1.
        unload_threads: int. How many versions unload at a time. Defaults to 1.

    Example:

    ```python
    manager = Manager(lambda directory: Servable(Session(directory)), StateBoard())
    manager.aspire("smes", {1: Path("models/smes/1")})
    with manager.use("smes") as (version, servable):
        servable.predict("", inputs)
    ```
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
        """Says which versions of a model should be served from now on.

        Args:
            name: str. The model.
            directories: mapping of int to path. Version to directory; empty to unload the model.
        """
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
        """Lends a version that is available; it isn't unloaded before it is given back.

        Args:
            name: str. The model.
            number: int. The version. Defaults to the highest that is available.

        Returns:
            context manager of (int, `Servable`). The version's number and the version itself.

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
        """Unloads everything, once the requests under way are done.

        Args:
            timeout: float, seconds. Loads and requests that take longer aren't waited for. Defaults to no
                limit.
        """
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
        """Drops failed versions that nobody wants, so that they are tried afresh if they return."""
        versions = self._models[name]
        for number in [n for n, v in versions.items() if not v.aspired and v.state is State.END]:
            del versions[number]

    def _advance(self, name: str) -> None:
        """Starts every load and unload that may be started now."""
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
            except Exception as error:  # the loader raises whatever the file made some part of it raise
                status = Status(State.END, *_told(error))
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
    """Finds the next version that may be unloaded without a gap in service.

    Args:
        versions: mapping of int to `Version`. All versions of one model.

    Returns:
        int. The lowest version that is served but shouldn't be, if nothing should be served, or
        something that should be is ready, or another such version stays behind. None otherwise.

    Example:

    ```python
    unloadable(versions)
    ```
    """
    ready = {number: v for number, v in versions.items() if v.state is State.AVAILABLE}
    unwanted = sorted(number for number, version in ready.items() if not version.aspired)
    wanted = any(version.aspired for version in versions.values())
    if unwanted and (not wanted or len(ready) > len(unwanted) or len(unwanted) > 1):
        return unwanted[0]
    return None


def _told(error: Exception) -> tuple[grpc.StatusCode, str]:
    """The code and the text under which a failed load is shown."""
    if isinstance(error, ServingError):
        return error.code, error.message
    if isinstance(error, tf.errors.OpError):
        return status_code(error.error_code), error.message
    if isinstance(error, (OSError, ValueError)):
        code = grpc.StatusCode.NOT_FOUND if isinstance(error, OSError) else grpc.StatusCode.INVALID_ARGUMENT
        return code, str(error)
    return grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}"
