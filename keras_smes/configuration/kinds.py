"""One of several classes, by the `kind` that plain values name."""

import dataclasses
from collections.abc import Mapping
from typing import Any


def made_of_kind(what: str, values: Any, kinds: Mapping[str, Any]) -> Any:
    """Returns the dataclass of the kind that `values` name; fields that are left out take their defaults.

    Args:
        what: What it is, for messages, such as `"task"`.
        values: A mapping with `kind` and `name`. Lists become tuples.
        kinds: Dataclasses by kind.

    Raises:
        ValueError: The kind is unknown, the name is missing, or a key is none of the kind's fields.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"A {what} must be a mapping with `kind` and `name`. Received: {values!r}")
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(f"A {what}'s `kind` must be one of {sorted(kinds)}. Received: kind={kind!r}")
    fields = [field.name for field in dataclasses.fields(kinds[kind])]
    given = {
        key: tuple(own) if isinstance(own, list) else own for key, own in values.items() if key != "kind"
    }
    unknown = sorted(str(key) for key in given if key not in fields)
    if unknown or "name" not in given:
        raise ValueError(
            f"A {what} of kind {kind!r} needs `name` and takes {fields}. "
            f"Received: name={given.get('name')!r}, unknown={unknown}"
        )
    return kinds[kind](**given)


def config_of_kind(made: Any) -> dict[str, Any]:
    """Returns a dataclass with a `kind` as plain JSON values, as `made_of_kind` takes them."""
    values = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return {"kind": made.kind, **plain}
