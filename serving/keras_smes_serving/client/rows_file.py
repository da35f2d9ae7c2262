"""Reads rows of features from JSON lines."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def read_rows(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads JSON objects, one per line; blank lines and a byte order mark are ignored.

    Args:
        path: str or path. The file, in UTF-8; `"-"` for standard input.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It isn't UTF-8, or a line is no JSON object; the message names the line.
    """
    # Only a newline ends a line: `splitlines` would also split at U+2028, which JSON strings may hold.
    lines = _read(path).removeprefix("\ufeff").split("\n")
    return [_row(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _read(path: str | os.PathLike[str]) -> str:
    if path == "-":
        return sys.stdin.read()
    if not Path(path).exists():
        raise FileNotFoundError(f"`--rows` must be a file, or - for standard input. Received: {path}")
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"`--rows` must be UTF-8. Received: {path}, {error}") from None


def _row(number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"`--rows` must hold one JSON object per line. Received: line {number}, {error}"
        ) from None
    if not isinstance(row, dict):
        shown = line if len(line) <= 80 else line[:80] + "..."
        raise ValueError(f"`--rows` must hold one JSON object per line. Received: line {number}, {shown}")
    return row
