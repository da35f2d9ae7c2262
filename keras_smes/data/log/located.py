"""YAML whose values are known by key and line, so that an error says where to look."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import yaml
except ImportError as error:
    raise ImportError('A log as YAML needs PyYAML: pip install "keras_smes[data]"') from error

Key = tuple[str | int, ...]


class Document:
    """The mapping of a YAML file, and the line of each of its keys.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no YAML, holds no mapping, or gives a key twice; names file and line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"A log must be a YAML file. Received: {self.path}")
        try:
            node = yaml.compose(self.path.read_text(encoding="utf-8-sig"), yaml.SafeLoader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.path} must be YAML. Received: {error}") from error
        self._lines: dict[Key, int] = {}
        if not isinstance(node, yaml.MappingNode):
            raise ValueError(
                f"{self.path} must hold a mapping of keys. Received: {getattr(node, 'tag', node)}"
            )
        self._note_lines(node, ())
        self.values: dict[str, Any] = yaml.SafeLoader("").construct_document(node)  # type: ignore[no-untyped-call]

    def _note_lines(self, node: Any, key: Key) -> None:
        self._lines[key] = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            for place, item in enumerate(node.value):
                self._note_lines(item, (*key, place))
        elif isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                own = (*key, name.value)
                line = name.start_mark.line + 1
                if own in self._lines:
                    raise ValueError(f"{self.path}, line {line}, `{_dotted(own)}`: must be given once")
                self._note_lines(value, own)
                self._lines[own] = line

    @contextlib.contextmanager
    def at(self, *key: str | int) -> Iterator[None]:
        """Puts file, line and key before the message of a `ValueError` or `TypeError` raised within."""
        try:
            yield
        except (ValueError, TypeError) as error:
            line = self._lines.get(key, 1)
            raise ValueError(f"{self.path}, line {line}, `{_dotted(key)}`: {error}") from error


def _dotted(key: Key) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.lstrip(".") or "the whole"
