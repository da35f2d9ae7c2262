"""The one exception of serving: a gRPC status code and its text."""

from __future__ import annotations

from typing import Any, Final, NoReturn

import grpc

__all__ = ["TEXT_LIMIT", "ServingError", "reject", "status_code", "truncated"]

TEXT_LIMIT = 1024
"""Bytes of an error text that TensorFlow Serving sends; the rest is cut."""

_CUT: Final = "...TRUNCATED"


class ServingError(Exception):
    """A request that was refused or that failed, as the wire tells it.

    Args:
        code: `grpc.StatusCode`. The status of the call.
        message: str. The status text. More than 1024 bytes of it are cut, as TensorFlow Serving
            cuts them.

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
        # An exception is unpickled from `args`, and those are not what `__init__` takes here.
        return type(self), (self.code, self.message), self.__dict__


def truncated(text: str) -> str:
    """Cuts a status text to what TensorFlow Serving sends of it.

    Args:
        text: str. The whole text.

    Returns:
        str. The text itself, or its first 1024 bytes and `...TRUNCATED`. A text that was cut already
        stays as it is.

    Example:

    ```python
    truncated("x" * 2000)[-12:]  # "...TRUNCATED"
    ```
    """
    data = text.removesuffix(_CUT).encode("utf-8", errors="replace")
    if len(data) <= TEXT_LIMIT:
        return text
    return data[:TEXT_LIMIT].decode("utf-8", errors="ignore") + _CUT


def status_code(number: int) -> grpc.StatusCode:
    """Turns the number of a status (the same in TensorFlow and in gRPC) into a gRPC code.

    Args:
        number: int. The number, such as 3 for INVALID_ARGUMENT.

    Returns:
        `grpc.StatusCode`. The code; UNKNOWN for a number that gRPC doesn't have.

    Example:

    ```python
    status_code(3)  # grpc.StatusCode.INVALID_ARGUMENT
    ```
    """
    return next((code for code in grpc.StatusCode if code.value[0] == number), grpc.StatusCode.UNKNOWN)


def reject(message: str) -> NoReturn:
    """Raises INVALID_ARGUMENT.

    Args:
        message: str. The text of the status.

    Raises:
        ServingError: Always.

    Example:

    ```python
    reject("Input is empty.")
    ```
    """
    raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)
