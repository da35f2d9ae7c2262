"""Decodes JSON documents of any size in pieces.

The decoder of the standard library holds the GIL until it is done: 50 MB would block all other requests for
seconds. A document that fits into one piece is decoded at once.
"""

from __future__ import annotations

import json
import re
from types import MappingProxyType
from typing import Any, Final

_PIECE: Final = 2**16
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()
_LAST: Final = MappingProxyType({"[": "]", "{": "}", '"': '"'})
"""Last characters of values, by their first."""


def decode_document(text: str) -> Any:
    """Decodes the JSON value at the start of a text; NaN and Infinity are numbers.

    Raises:
        json.JSONDecodeError: There is no JSON value.
        RecursionError: It is nested too deeply.
    """
    return _value(text, _skip(text, 0))[0]


def _value(text: str, start: int) -> tuple[Any, int]:
    """The value that starts here, and its end."""
    if len(text) - start > _PIECE:
        if text.startswith("[", start):
            return _list(text, start)
        if text.startswith("{", start):
            return _object(text, start)
    return _DECODER.raw_decode(text, start)


def _list(text: str, start: int) -> tuple[list[Any], int]:
    values: list[Any] = []
    position = _skip(text, start + 1)
    if text.startswith("]", position):
        return values, position + 1
    while True:
        several, end = _several(text[position : position + _PIECE])
        if several:
            values += several
            position += end
        else:  # larger than a piece, or none at all
            value, position = _value(text, position)
            values.append(value)
        position = _skip(text, position)
        if text.startswith("]", position):
            return values, position + 1
        position = _skip(text, _expect(",", text, position))


def _several(piece: str) -> tuple[list[Any], int]:
    """The complete values of a list within a piece, and their end."""
    last = _LAST.get(piece[:1], "")
    if (end := piece.rfind(f"{last},") + len(last)) > len(last):
        try:
            return _DECODER.decode(f"[{piece[:end]}]"), end
        except json.JSONDecodeError:
            pass  # the comma lies within a value: decode one by one
    values: list[Any] = []
    position = end = 0
    try:
        while True:
            value, stop = _DECODER.raw_decode(piece, position)
            following = _skip(piece, stop)
            if piece[following : following + 1] not in (",", "]"):  # maybe a truncated number
                return values, end
            values.append(value)
            end = stop
            position = _skip(piece, _expect(",", piece, following))
    except json.JSONDecodeError:  # the end of the list, a truncated value, or an error that the caller finds
        return values, end


def _object(text: str, start: int) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = {}
    position = _skip(text, start + 1)
    if text.startswith("}", position):
        return values, position + 1
    while True:
        if not text.startswith('"', position):
            raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, position)
        name, position = _DECODER.raw_decode(text, position)
        position = _skip(text, _expect(":", text, _skip(text, position)))
        values[name], position = _value(text, position)
        position = _skip(text, position)
        if text.startswith("}", position):
            return values, position + 1
        position = _skip(text, _expect(",", text, position))


def _expect(delimiter: str, text: str, position: int) -> int:
    """The position after a delimiter."""
    if not text.startswith(delimiter, position):
        raise json.JSONDecodeError(f"Expecting {delimiter!r} delimiter", text, position)
    return position + 1


def _skip(text: str, position: int) -> int:
    """The position after white space."""
    found = _SPACE.match(text, position)
    assert found is not None
    return found.end()
