"""Looks at the file system for versions of models, again and again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from keras_smes_serving.server.models.versions import aspired_versions

_LOG: Final = logging.getLogger(__name__)


class Periodic:
    """Calls a function every so many seconds, on a thread of its own.

    Args:
        function: function without arguments. What it raises is logged, and it is called again.
        seconds: float. The wait between calls; nothing is ever called if it isn't positive.
        name: str. The name of the thread.

    Example:

    ```python
    poll = Periodic(source.poll, seconds=1, name="poll")
    poll.stop()
    ```
    """

    def __init__(self, function: Callable[[], None], seconds: float, name: str) -> None:
        self._function = function
        self._seconds = min(seconds, threading.TIMEOUT_MAX)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        if seconds > 0:
            self._thread.start()

    def stop(self, timeout: float = threading.TIMEOUT_MAX) -> None:
        """Stops calling; returns once a call under way has ended.

        Args:
            timeout: float, seconds. A call that takes longer isn't waited for. Defaults to no limit.
        """
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                self._function()
            except Exception:  # whatever it was, the next call may find it gone
                _LOG.exception("%s failed", self._thread.name)


class FileSystemSource:
    """Says which versions should be served, from what lies in the base paths of the models.

    Args:
        aspire: function of a model's name and a mapping of version to directory.

    Example:

    ```python
    source = FileSystemSource(manager.aspire)
    source.watch({"smes": model_config})
    source.poll()
    ```
    """

    def __init__(self, aspire: Callable[[str, Mapping[int, Path]], None]) -> None:
        self._aspire = aspire
        self._models: dict[str, Any] = {}
        self._empty: set[str] = set()
        self._lock = threading.Lock()

    def watch(self, models: Mapping[str, Any]) -> None:
        """Watches these models from now on, and no others: those left out are unloaded.

        Args:
            models: mapping of str to `ModelConfig` message. Looked at by the next `poll`.
        """
        with self._lock:
            dropped = set(self._models) - set(models)
            self._models = dict(models)
        for name in dropped:
            self._aspire(name, {})

    def poll(self) -> None:
        """Looks at every base path once."""
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
