"""Polls the file system for versions of models."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from keras_smes_serving.server.models.versions import aspired_versions

_LOG: Final = logging.getLogger(__name__)


class Periodic:
    """Calls a function periodically, in its own thread.

    Args:
        function: function without arguments. Its exceptions are logged.
        seconds: float. Interval; no calls if it isn't positive.
        name: str. The name of the thread.
    """

    def __init__(self, function: Callable[[], None], seconds: float, name: str) -> None:
        self._function = function
        self._seconds = min(seconds, threading.TIMEOUT_MAX)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        if seconds > 0:
            self._thread.start()

    def stop(self, timeout: float = threading.TIMEOUT_MAX) -> None:
        """Stops calling, after a running call or the timeout in seconds."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                self._function()
            except Exception:  # the next call may succeed
                _LOG.exception("%s failed", self._thread.name)


class FileSystemSource:
    """Finds the versions to serve in the base paths of the models.

    Args:
        aspire: function of a model's name and a mapping of version to directory.
    """

    def __init__(self, aspire: Callable[[str, Mapping[int, Path]], None]) -> None:
        self._aspire = aspire
        self._models: dict[str, Any] = {}
        self._empty: set[str] = set()
        self._lock = threading.Lock()

    def watch(self, models: Mapping[str, Any]) -> None:
        """Sets the models by name to their `ModelConfig`s; other models are unloaded."""
        with self._lock:
            dropped = set(self._models) - set(models)
            self._models = dict(models)
        for name in dropped:
            self._aspire(name, {})

    def poll(self) -> None:
        """Scans every base path once."""
        with self._lock:
            for name, config in self._models.items():
                found = aspired_versions(config.base_path, config.model_version_policy)
                self._warn_once(name, config.base_path, bool(found))
                if found is not None:
                    self._aspire(name, found)

    def _warn_once(self, name: str, base_path: str, found: bool) -> None:
        if found:
            self._empty.discard(name)
        elif name not in self._empty:
            self._empty.add(name)
            _LOG.warning(
                "No versions of model %s found under base path %s. A version is a directory named by a "
                "number, such as %s",
                name,
                base_path,
                Path(base_path) / "1",
            )
