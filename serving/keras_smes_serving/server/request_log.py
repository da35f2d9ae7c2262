"""The log of failed requests: one line each, with a limit per second."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import MutableMapping
from typing import Any, Final

PER_SECOND: Final = 10
_LONGEST: Final = 500


class RequestLog(logging.LoggerAdapter[logging.Logger]):
    """A rate-limited logger for errors that clients can cause.

    An exception is one line, with its location instead of a traceback. Lines beyond `per_second` are counted,
    and the next line includes the count.

    Args:
        logger: `logging.Logger`. Receives the lines.
        per_second: int. Maximum number of lines per second. Defaults to 10.
    """

    def __init__(self, logger: logging.Logger, per_second: int = PER_SECOND) -> None:
        super().__init__(logger, {})
        self._per_second = per_second
        self._lock = threading.Lock()
        self._second = 0
        self._lines = 0
        self._left_out = 0

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Writes a line, unless the limit is exceeded."""
        error = kwargs.pop("exc_info", None)
        if self.isEnabledFor(level) and (note := self._admitted()) is not None:
            text = str(msg) % args if args else str(msg)
            self.logger.log(level, "%s%s", _one_line(text + _description(error)), note)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Returns the message unchanged."""
        return msg, kwargs

    def _admitted(self) -> str | None:
        """Returns None above the limit; else a note about omitted lines."""
        with self._lock:
            second = int(time.monotonic())
            if second != self._second:
                self._second, self._lines = second, 0
            if self._lines >= self._per_second:
                self._left_out += 1
                return None
            self._lines += 1
            note = f" ({self._left_out} lines left out before)" if self._left_out else ""
            self._left_out = 0
            return note


def _description(error: Any) -> str:
    """Describes an exception by its type, message and location."""
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, tuple):
        error = error[1]
    if not isinstance(error, BaseException):
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f": {type(error).__name__}: {error}{where}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "..."
