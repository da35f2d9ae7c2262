"""The exception of serving: a gRPC status code and its message."""

from __future__ import annotations

from typing import Any, Final, NoReturn

import grpc

__all__ = ["TEXT_LIMIT", "ServingError", "reject", "status_code", "truncated"]

TEXT_LIMIT = 1024
"""Maximum bytes of an error message in TensorFlow Serving."""

_CUT: Final = "...TRUNCATED"


class ServingError(Exception):
    """A request that was rejected or failed.

    Args:
        code: `grpc.StatusCode`. The status of the call.
        message: str. The status message, truncated to 1024 bytes as in TensorFlow Serving.

    Example:

    ```python
    raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")
    ```
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        self.code = code
        self.message = truncated(message)
        super().__init__(f"{code.name}: {self.message}")

    def __reduce__(self) -> tuple[Any, ...]:
        # The default unpickles with `args`, which differ from the parameters of `__init__`.
        return type(self), (self.code, self.message), self.__dict__


def truncated(text: str) -> str:
    """Truncates a status message to 1024 bytes and `...TRUNCATED`, as TensorFlow Serving does."""
    data = text.removesuffix(_CUT).encode("utf-8", errors="replace")
    if len(data) <= TEXT_LIMIT:
        return text
    return data[:TEXT_LIMIT].decode("utf-8", errors="ignore") + _CUT


def status_code(number: int) -> grpc.StatusCode:
    """Returns the gRPC code of a status number; UNKNOWN for an unknown number."""
    return next((code for code in grpc.StatusCode if code.value[0] == number), grpc.StatusCode.UNKNOWN)


def reject(message: str) -> NoReturn:
    """Raises `ServingError` with INVALID_ARGUMENT."""
    raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)
