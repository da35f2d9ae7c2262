"""Dataclasses of plain values, and options checked by the functions that take them: by cattrs, strictly.

A bool is no number, a string is neither a number nor a list of strings, and no key is left over.
"""

import collections.abc
import dataclasses
import functools
import inspect
import numbers
import operator
import types
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import cattrs
from cattrs.gen import make_dict_structure_fn

from keras_smes.configuration.document import ConfigError, Key, dotted

Hooks = Mapping[type, Callable[[Any], Any]]


class _Mismatch(Exception):
    """A value of another type than its annotation."""


def structure(values: Any, kind: Any, hooks: Hooks | None = None) -> Any:
    """Returns the dataclass that plain values spell.

    Args:
        values: A mapping, as YAML or JSON has it. What is an instance already is taken as it is.
        kind: The dataclass.
        hooks: Functions of a plain value that make a class which is no plain dataclass. Defaults to none.

    Raises:
        ConfigError: A key is unknown or missing, or a value of another type or rejected; names it.
    """
    try:
        return _converter(tuple((hooks or {}).items())).structure(values, kind)
    except (cattrs.BaseValidationError, _Mismatch, ValueError, TypeError) as error:
        raise _located(error, values, kind) from error


def check_typed(name: str, value: Any, hint: Any) -> None:
    """Rejects a value that isn't of the type that it is declared to be.

    Args:
        name: What the value is called.
        value: The value.
        hint: Its type, as in an annotation.

    Raises:
        ConfigError: It is of another type.
    """
    try:
        _converter().structure(value, hint)
    except (cattrs.BaseValidationError, _Mismatch):
        raise ConfigError(_mismatch(name, value, hint), tuple(name.split("."))) from None


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
        ConfigError: An unknown option, or one of another type.

    Example:

    >>> check_options("data_options", {"rows": 1000}, [simulate])
    """
    known = {own: hint for function in functions for own, hint in _arguments(function).items()}
    known = {own: hint for own, hint in known.items() if own not in without}
    if unknown := sorted(str(own) for own in options if own not in known):
        message = f"`{name}` must be among {list(known)}. Received: unknown={unknown}"
        raise ConfigError(message, (name, unknown[0]))
    for own, value in options.items():
        check_typed(f"{name}.{own}", value, known[own])


def _arguments(function: Callable) -> dict[str, Any]:
    """The types of a function's arguments by name, those of `**kwargs` aside."""
    hints = typing.get_type_hints(function.__init__ if isinstance(function, type) else function)  # type: ignore[misc]
    parameters = inspect.signature(function).parameters.values()
    return {
        p.name: hints.get(p.name, Any) for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }


@functools.cache
def _converter(own: tuple[tuple[type, Callable[[Any], Any]], ...] = ()) -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    cls: Any
    for cls in (int, float, str, bytes, Path):  # those that cattrs would convert
        converter.register_structure_hook(cls, _instance)
    of_origin: list[tuple[Any, Callable]] = [  # a later one comes before those above it
        (lambda origin: origin not in (list, dict), _instance),
        (lambda origin: origin in (types.UnionType, typing.Union), _one_of),
        (lambda origin: origin in (collections.abc.Sequence, tuple), _listed),
        (lambda origin: origin is collections.abc.Mapping, _mapped),
    ]
    for fits, hook in of_origin:
        converter.register_structure_hook_func(
            functools.partial(lambda fits, hint: fits(typing.get_origin(hint)), fits),
            functools.partial(hook, converter) if hook is not _instance else hook,
        )
    converter.register_structure_hook_factory(dataclasses.is_dataclass, functools.partial(_made, converter))
    for kind, make in own:
        converter.register_structure_hook_func(
            functools.partial(operator.is_, kind), functools.partial(lambda make, value, _: make(value), make)
        )
    return converter


def _instance(value: Any, hint: Any) -> Any:
    if hint is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)  # NumPy's integers too
    if hint is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
        return value
    if hint is Any or not isinstance(hint, type) or (hint not in (int, float) and isinstance(value, hint)):
        return value  # what is no class isn't checked
    raise _Mismatch


def _one_of(converter: cattrs.Converter, value: Any, hint: Any) -> Any:
    kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
    if value is None and len(kinds) < len(typing.get_args(hint)):
        return None
    if len(kinds) == 1:
        return converter.structure(value, kinds[0])
    inner: Exception = _Mismatch()
    for kind in kinds:
        try:
            return converter.structure(value, kind)
        except cattrs.BaseValidationError as error:  # of this kind, but for what it holds
            inner = error
        except _Mismatch:
            continue
    raise inner


def _listed(converter: cattrs.Converter, value: Any, hint: Any) -> Any:
    """A tuple; of texts that a dataclass has as one, a single one stands for itself."""
    if isinstance(value, str) and hint == tuple[str, ...]:
        return (value,)
    if not isinstance(value, list | tuple):
        raise _Mismatch
    return tuple(converter.structure(value, list[typing.get_args(hint)[0]]))  # type: ignore[misc, arg-type]


def _mapped(converter: cattrs.Converter, value: Any, hint: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _Mismatch
    return converter.structure(value, dict[typing.get_args(hint)])  # type: ignore[misc, arg-type]


def _made(converter: cattrs.Converter, kind: Any) -> Callable[[Any, Any], Any]:
    make = make_dict_structure_fn(kind, converter)

    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise _Mismatch("a mapping")
        return make(value, kind)

    return hook


def _located(error: Any, values: Any, hint: Any) -> ConfigError:
    """The first error of cattrs' tree, as one message with its key."""
    key: Key = ()
    field: tuple[Key, Any] = ((), hint)
    while True:
        for note in getattr(error, "__notes__", ()):
            if isinstance(note, cattrs.AttributeValidationNote):
                key = (*key, note.name)
                field = (key, note.type)
            elif isinstance(note, cattrs.IterableValidationNote):
                key = (*key, note.index)
        if not isinstance(error, cattrs.BaseValidationError):
            return _explained(error, values, key, field)
        unknown = (own for own in error.exceptions if isinstance(own, cattrs.ForbiddenExtraKeysError))
        error = next(unknown, error.exceptions[0])


def _explained(error: Exception, values: Any, key: Key, field: tuple[Key, Any]) -> ConfigError:
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        known = [own.name for own in dataclasses.fields(error.cl) if own.init]
        unknown = sorted(dotted((*key, str(own))) for own in error.extra_fields)
        message = f"Configuration keys must be among {known}. Received: unknown={unknown}"
        return ConfigError(message, (*key, *sorted(str(own) for own in error.extra_fields)[:1]))
    if isinstance(error, ConfigError):
        return ConfigError(str(error), *((*key, *own) for own in error.keys))
    if isinstance(error, KeyError):
        there = list(_at(values, key[:-1]))
        return ConfigError(f"A configuration must have `{dotted(key)}`. Received: {there}", key[:-1])
    if isinstance(error, _Mismatch):
        own, hint = field
        expected = error.args[0] if error.args else hint
        return ConfigError(_mismatch(dotted(own) or "config", _at(values, own), expected), key)
    return ConfigError(str(error), key)


def _at(values: Any, key: Key) -> Any:
    for part in key:
        values = values[part]
    return values


def _mismatch(name: str, value: Any, hint: Any) -> str:
    return f"`{name}` must be {_spelled(hint)}. Received: {name}={value!r}{_hint_of_yaml(value, hint)}"


def _spelled(hint: Any) -> str:
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint.__name__
    return str(hint).replace("collections.abc.", "").replace("typing.", "")


def _hint_of_yaml(value: Any, hint: Any) -> str:
    """YAML reads a number without a point, such as 1e-3, as text."""
    if not isinstance(value, str) or not {int, float} & {hint, *typing.get_args(hint)}:
        return ""
    try:
        float(value)
    except ValueError:
        return ""
    return " (text: in YAML a number has no quotes, and 1e-3 is written 1.0e-3)"
