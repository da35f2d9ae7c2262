"""YAML and JSON whose values are known by key and line, so that an error says where to look."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Key = tuple[str | int, ...]
YAML = (".yaml", ".yml")
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class ConfigError(ValueError):
    """A value of a configuration that is wrong.

    Args:
        message: What is wrong, with the value received.
        *keys: Where it may stand, the likeliest first: keys of mappings and places in lists, from the top.
            Defaults to the whole.
    """

    def __init__(self, message: str, *keys: Key) -> None:
        super().__init__(message)
        self.keys = keys or ((),)


class Document:
    """The mapping that a text holds, and the line of each of its keys.

    Args:
        text: YAML or JSON.
        name: What it is called in messages, such as its path.
        is_json: Whether it is JSON. Defaults to `False`, YAML.

    Raises:
        ValueError: It is no YAML or JSON, holds no mapping, or gives a key twice; names it and the line.
        ImportError: It is YAML, and PyYAML isn't installed.
    """

    def __init__(self, text: str, name: str | Path, is_json: bool = False) -> None:
        self.name = str(name)
        self._lines: dict[Key, int] = {(): 1}
        self.values: dict[str, Any] = self._json(text) if is_json else self._yaml(text)
        if not isinstance(self.values, dict):
            kind = type(self.values).__name__
            raise ValueError(f"{self.name} must hold a mapping (a JSON object). Received: a {kind}")

    @classmethod
    def read(cls, path: str | Path) -> "Document":
        """Reads a file: YAML if its name ends in `.yaml` or `.yml`, else JSON.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: As for the constructor.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"A configuration must be a JSON or YAML file. Received: {path}, no such file"
            )
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} must be UTF-8. Received: {error}") from error
        return cls(text, path, is_json=path.suffix not in YAML)

    def _yaml(self, text: str) -> Any:
        yaml = import_yaml()
        try:
            node = yaml.compose(text, yaml.SafeLoader)
            if node is not None:
                self._note_lines(node, ())
            return yaml.SafeLoader("").construct_document(node) if node is not None else None
        except yaml.MarkedYAMLError as error:
            line = "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"
            raise ValueError(f"{self.name} must be YAML. Received: {error.problem}{line}") from error
        except yaml.YAMLError as error:
            raise ValueError(f"{self.name} must be YAML. Received: {error}") from error

    def _json(self, text: str) -> Any:
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{self.name} must be JSON. Received: {error}") from None
        yaml = import_yaml()
        with contextlib.suppress(yaml.YAMLError):  # JSON that is no YAML, as with tabs, has no lines
            self._note_lines(yaml.compose(text, yaml.SafeLoader), ())
        return values

    def _note_lines(self, node: Any, key: Key) -> None:
        self._lines.setdefault(key, node.start_mark.line + 1)
        if node.id == "sequence":
            for place, item in enumerate(node.value):
                self._note_lines(item, (*key, place))
        elif node.id == "mapping":
            for name, value in node.value:
                own = (*key, name.value)
                if own in self._lines:
                    raise ValueError(
                        f"{self.name}, line {name.start_mark.line + 1}, `{dotted(own)}`: must be given once. "
                        f"Received: repeated={[name.value]}"
                    )
                self._lines[own] = name.start_mark.line + 1
                self._note_lines(value, own)
        elif node.tag == _TIMESTAMP:
            self._check_day(node, key)

    def _check_day(self, node: Any, key: Key) -> None:
        """Stops at a day such as the 30th of February, for which PyYAML's error has no place."""
        try:
            import_yaml().SafeLoader("").construct_object(node)
        except ValueError as error:
            raise ValueError(
                f"{self.name}, line {self._lines[key]}, `{dotted(key)}`: must be a day of the calendar. "
                f"Received: {node.value}"
            ) from error

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Puts name, line and key before the message of a `ConfigError` raised within."""
        try:
            yield
        except ConfigError as error:
            key = self._nearest(error.keys, str(error))
            if key is None:
                raise
            where = f", `{dotted(key)}`" if key else ""
            raise ValueError(f"{self.name}, line {self._lines[key]}{where}: {error}") from error

    @contextlib.contextmanager
    def at(self, *key: str | int) -> Iterator[None]:
        """As `errors`, for a `ValueError` or `TypeError` about one key."""
        with self.errors():
            try:
                yield
            except (ValueError, TypeError) as error:
                raise ConfigError(str(error), key) from error

    def _nearest(self, keys: tuple[Key, ...], message: str) -> Key | None:
        """The first of the keys that stands in the text, or what holds it; down to what the message names.

        `None` for a key at the top that stands elsewhere, as on the command line.
        """
        key = next((key for key in keys if key in self._lines), keys[0])
        while key not in self._lines:
            key = key[:-1]
        named = re.match(r"`(\w+)`", message)
        if named and (*key, named.group(1)) in self._lines:
            return (*key, named.group(1))
        return key if key or not (named or keys[0]) else None


def dotted(key: Key) -> str:
    """Returns a key as it is written, such as `tasks[0].name`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.lstrip(".")


def import_yaml() -> Any:
    """Returns PyYAML, or says with what extra it comes."""
    try:
        import yaml
    except ImportError as error:
        raise ImportError('YAML needs PyYAML: pip install "keras_smes[config]"') from error
    return yaml
