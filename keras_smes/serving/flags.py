"""The command line of a server, spelled as tensorflow_model_server spells it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any


class FlagError(ValueError):
    """A command line that can't be used."""


@dataclass(frozen=True)
class Flags:
    """The flags, by name, with their defaults.

    Args:
        port: int. TCP port of the gRPC API; 0 takes any free one. Defaults to 8500.
        model_name: str. Name of the model. Defaults to `"default"`.
        model_base_path: str. Directory with the version directories of the model. Required.
        grpc_max_threads: int. How many requests are worked on at a time; 0 is four for each core.
            Defaults to 0.
        help: bool. List the flags and stop. Defaults to False.

    Example:

    ```python
    Flags(model_name="smes", model_base_path="/models/smes")
    ```
    """

    port: int = 8500
    model_name: str = "default"
    model_base_path: str = ""
    grpc_max_threads: int = 0
    help: bool = False


def parse_flags(argv: Sequence[str]) -> Flags:
    """Reads a command line of `--flag=value` and, for switches, bare `--flag`.

    Args:
        argv: sequence of str. The arguments, without the name of the program.

    Returns:
        `Flags`.

    Raises:
        FlagError: A flag is unknown, lacks its value, or has one that can't be read.

    Example:

    ```python
    parse_flags(["--model_name=smes", "--model_base_path=/models/smes"]).port  # 8500
    ```
    """
    defaults = {field.name: field.default for field in fields(Flags)}
    values: dict[str, Any] = {}
    for argument in argv:
        name, equals, text = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name not in defaults:
            raise FlagError(f"Unknown argument: {argument}\n{usage()}")
        values[name] = _value(argument, text, bool(equals), type(defaults[name]))
    flags = Flags(**values)
    if not flags.model_base_path and not flags.help:
        raise FlagError(f"--model_base_path must be given.\n{usage()}")
    return flags


def usage() -> str:
    """Lists the flags with their defaults.

    Returns:
        str. One flag a line.

    Example:

    ```python
    print(usage())
    ```
    """
    lines = [f"  --{field.name}={_shown(field.default)}" for field in fields(Flags)]
    return "\n".join(["Known flags, with their defaults:", *lines])


def _value(argument: str, text: str, given: bool, kind: type) -> int | str | bool:
    if kind is bool and not given:
        return True
    if not given:
        raise FlagError(f"A value must follow, as in {argument}=VALUE. Received: {argument}")
    try:
        if kind is int:
            return _number(text)
        return _switch(text) if kind is bool else text
    except ValueError as error:
        raise FlagError(f"{error}. Received: {argument}") from None


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]+", text):
        raise ValueError("The value must be a whole number, not negative")
    return int(text)


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("The value must be true or false")
    return text == "true"


def _shown(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)
