"""Options by name, as files hold them: checked against what they are declared to be before anything runs."""

import inspect
import numbers
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any

from typeguard import CollectionCheckStrategy, TypeCheckError, check_type


def check_options(
    name: str, options: Mapping[str, Any], functions: Collection[Callable], without: Collection[str] = ()
) -> None:
    """Rejects options that functions don't have among their arguments, or of a type that they don't take.

    Args:
        name: What the options are called.
        options: The options by name.
        functions: The functions, or classes, that take them: each option one of them.
        without: Arguments that are no options. Defaults to none.

    Raises:
        ValueError: An unknown option, or one of another type.

    Example:

    >>> check_options("data_options", {"rows": 1000}, [simulate])
    """
    known = {own: hint for function in functions for own, hint in _arguments(function).items()}
    known = {own: hint for own, hint in known.items() if own not in without}
    if unknown := sorted(str(own) for own in options if own not in known):
        raise ValueError(f"`{name}` must be among {list(known)}. Received: unknown={unknown}")
    for own, value in options.items():
        check_typed(f"{name}.{own}", value, known[own])


def check_typed(name: str, value: Any, hint: Any) -> None:
    """Rejects a value that isn't of the type that it is declared to be.

    Stricter than Python's own relations: a bool is no number, and a string no list of strings.

    Args:
        name: What the value is called.
        value: The value.
        hint: Its type, as in an annotation.

    Raises:
        ValueError: It is of another type.
    """
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    try:
        if isinstance(value, bool | str) and type(value) not in kinds and Any not in kinds:
            raise TypeCheckError("no such value")
        plain = int(value) if whole else value  # NumPy's integers too
        check_type(plain, hint, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except TypeCheckError:
        raise ValueError(
            f"`{name}` must be {_spelled(hint)}. Received: {name}={value!r}{_hint_of_yaml(value, kinds)}"
        ) from None


def _arguments(function: Callable) -> dict[str, Any]:
    """The types of a function's arguments by name, those of `**kwargs` aside."""
    hints = typing.get_type_hints(function.__init__ if isinstance(function, type) else function)  # type: ignore[misc]
    parameters = inspect.signature(function).parameters.values()
    return {
        p.name: hints.get(p.name, Any) for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }


def _spelled(hint: Any) -> str:
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint.__name__
    return str(hint).replace("collections.abc.", "").replace("typing.", "")


def _hint_of_yaml(value: Any, kinds: Collection[Any]) -> str:
    """YAML reads a number without a point, such as 1e-3, as text."""
    if not isinstance(value, str) or not {int, float} & set(kinds):
        return ""
    try:
        float(value)
    except ValueError:
        return ""
    return " (text: in YAML a number has no quotes, and 1e-3 is written 1.0e-3)"
