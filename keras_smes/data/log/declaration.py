"""What a team says of its log: where rows lie, what columns mean, what to predict and where to cut."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from keras_smes.checks import check_count, check_number, check_positive
from keras_smes.data.column_types import check_time_zone
from keras_smes.data.log.located import Document
from keras_smes.data.roles import History, KeyGroup
from keras_smes.data.split_config import SplitConfig
from keras_smes.features.config import feature_from_config
from keras_smes.features.feature import Feature
from keras_smes.tasks import BinaryTask, Task, as_tasks
from keras_smes.tasks.config import task_from_config

AUTO = "auto"
UNITS = {"s": 1000, "ms": 1, "us": 0.001}
LABEL_KEYS = ("positive", "at_least", "scale")


@dataclasses.dataclass(frozen=True)
class TimeColumn:
    """The column of the moment of a row.

    Args:
        column: Its name.
        unit: Of numbers since 1970 (UTC): `"s"`, `"ms"` or `"us"`. Timestamps need none. Defaults to `"ms"`.
    """

    column: str
    unit: str = "ms"

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"`unit` must be one of {list(UNITS)}. Received: unit={self.unit!r}")


@dataclasses.dataclass(frozen=True)
class Table:
    """A side table, such as of items, joined to the rows by key.

    Args:
        files: Its files, as those of a `Log`.
        key: Its columns that together are in one row only; the rows have them too.
    """

    files: tuple[str, ...]
    key: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Label:
    """How a task's label is made of a column; the task's own name is the new column's.

    Args:
        task: Name of the task.
        column: The column.
        positive: Values that are 1; all others but null are 0. Defaults to `()`.
        at_least: Numbers from here on are 1, those below 0. Defaults to `None`.
        scale: Factor of a number, as 0.001 for milliseconds in seconds. Defaults to `None`.
    """

    task: str
    column: str
    positive: tuple[Any, ...] = ()
    at_least: float | None = None
    scale: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in LABEL_KEYS if getattr(self, name) not in ((), None)]
        if len(given) != 1:
            raise ValueError(f"A label takes one of {list(LABEL_KEYS)}. Received: {given}")
        for name in ("at_least", "scale"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name))


@dataclasses.dataclass(frozen=True)
class Log:
    """Files of rows, and what their columns mean.

    A column has one role: `user`, `request`, `time`, `date`, `weight`, `skip_training`, label or condition of
    a task, outcome, ignored, or feature. Labels, conditions and outcomes are known only afterwards and are
    never features; statistics and histories may count them.

    Args:
        name: Name of the log.
        files: Paths, globs or folders of Parquet, CSV or TSV (also `.gz`, `.zst`). `KEY=VALUE` in a path is a
            column of its rows.
        tasks: What is to be predicted.
        labels: How labels are made, for tasks whose column isn't a label as it is. Defaults to `()`.
        features: Features, not fitted, or `"auto"`: each column without a role gets a kind by what the
            training rows hold. Defaults to `"auto"`.
        folder: What relative paths start from. Defaults to the working folder.
        user: Column of the user, for metrics and histories within users. Defaults to `None`.
        time: `TimeColumn`. Defaults to `None`: rows have no time and are split by a hash, a column or files.
        date: Column of the day. Defaults to `None`, the day of `time` in `time_zone`.
        time_zone: Where a day begins. Defaults to `"UTC"`.
        weight: Column of the rows' weights in losses. Defaults to `None`.
        unique: Columns; rows that repeat an earlier one in all of them are dropped and counted. Defaults to
            `()`.
        tables: Side tables. Defaults to `()`.
        outcomes: Columns known only afterwards that are no labels. Defaults to `()`.
        ignore: Columns that are left out. Defaults to `()`.
        statistics: `KeyGroup`s. Defaults to `()`.
        histories: `History`s. Defaults to `()`.
        half_life: Days after which a row counts half in statistics. Defaults to `None`.
        rates: Label columns whose rates are taken. Defaults to `None`, those of binary tasks.
        split: A `SplitConfig`, or its values. Defaults to none of them: the last fifth of the rows by time,
            in whole days.
        request: Column of the request or session that a row was shown in, for metrics of the order within it.
            Defaults to `None`.
        skip_training: Column of 0 and 1, or booleans: where it is 1 a row is not trained on, but counts in
            statistics and histories, and as a validation or test row. Defaults to `None`.
        memory: Bytes that the rows may take in memory; more are rejected. Defaults to `None`, any.

    Example:

    >>> log = Log("feed", ("log/*.parquet",), (BinaryTask("click"),), user="user_id", time=TimeColumn("ts"))
    >>> sorted(log.roles().items())
    [('click', 'label'), ('ts', 'time'), ('user_id', 'user')]
    """

    name: str
    files: tuple[str, ...]
    tasks: tuple[Task, ...]
    labels: tuple[Label, ...] = ()
    features: tuple[Feature, ...] | str = AUTO
    folder: Path = Path()
    user: str | None = None
    time: TimeColumn | None = None
    date: str | None = None
    time_zone: str = "UTC"
    weight: str | None = None
    unique: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    outcomes: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    statistics: tuple[KeyGroup, ...] = ()
    histories: tuple[History, ...] = ()
    half_life: float | None = None
    rates: tuple[str, ...] | None = None
    split: SplitConfig = dataclasses.field(default_factory=SplitConfig)
    memory: int | None = None
    request: str | None = None
    skip_training: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", as_tasks(self.tasks))
        if isinstance(self.split, Mapping):
            object.__setattr__(self, "split", SplitConfig(**self.split))
        check_time_zone("time_zone", self.time_zone)
        if self.half_life is not None:
            check_positive("half_life", self.half_life)
        self.roles()  # rejects columns of two roles

    def roles(self) -> dict[str, str]:
        """Returns the role of each column that has one, features aside.

        Raises:
            ValueError: A column has two.
        """
        made = {label.task: label.column for label in self.labels}
        time = None if self.time is None else self.time.column
        named = [("user", self.user), ("time", time), ("date", self.date), ("weight", self.weight)]
        named += [("request", self.request), ("skip_training", self.skip_training)]
        named += [("label", made.get(task.name, task.label)) for task in self.tasks]
        named += [("condition", task.condition) for task in self.tasks]
        named += [("outcome", name) for name in self.outcomes] + [("ignore", name) for name in self.ignore]
        roles: dict[str, str] = {}
        for role, column in named:
            if column is None or (role == "condition" and column in {task.name for task in self.tasks}):
                continue
            kept = roles.setdefault(column, role)
            if kept != role and {kept, role} != {"label", "condition"}:
                raise ValueError(f"A column must have one role. Received: {column!r} as {kept} and {role}")
        return roles

    @classmethod
    def read(cls, path: str | Path) -> "Log":
        """Returns the log of a YAML file; paths in it are relative to the file.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: Names the file, the line, the key and the value that is wrong.
        """
        document = Document(path)
        values = document.values
        fields = [field.name for field in dataclasses.fields(cls) if field.name not in ("labels", "folder")]
        for key in values:
            if key not in fields:
                with document.at(key):
                    raise ValueError(f"A key must be among {fields}. Received: {key!r}")
        for key in ("files", "tasks"):
            if key not in values:
                raise ValueError(f"{document.path} must have `files` and `tasks`. Received: no `{key}`")
        parsed: dict[str, Any] = {"name": Path(path).stem, "folder": Path(path).parent}
        for key, value in values.items():
            parse: Callable[[Any], Any] = (lambda own: own) if key in _LISTED else _PARSERS.get(key, _text)
            with document.at(key):
                parsed[key] = parse(value)
        for key, parse in _LISTED.items():
            if key in values and values[key] != AUTO:
                parsed[key] = _list(document, key, values[key], parse)
        parsed["labels"] = tuple(
            label for place, entry in enumerate(values["tasks"]) for label in _label(document, place, entry)
        )
        with document.at():
            return cls(**parsed)


def _list(document: Document, key: str, values: Any, parse: Callable[[Any], Any]) -> tuple[Any, ...]:
    with document.at(key):
        if not isinstance(values, list):
            raise ValueError(f"must be a list. Received: {values!r}")
    parsed = []
    for place, value in enumerate(values):
        with document.at(key, place):
            parsed.append(parse(value))
    return tuple(parsed)


def _label(document: Document, place: int, entry: Any) -> list[Label]:
    if not isinstance(entry, Mapping) or not set(entry) & set(LABEL_KEYS):
        return []
    with document.at("tasks", place):
        given = {key: entry[key] for key in LABEL_KEYS if key in entry}
        if "positive" in given:
            given["positive"] = (
                tuple(given["positive"]) if isinstance(given["positive"], list) else (given["positive"],)
            )
        return [Label(entry["name"], entry.get("label", entry["name"]), **given)]


def _task(entry: Any) -> Task:
    if isinstance(entry, str):
        return BinaryTask(entry)
    if not isinstance(entry, Mapping):
        raise ValueError(f"must be the name of a binary task, or a mapping. Received: {entry!r}")
    own = {key: value for key, value in entry.items() if key not in LABEL_KEYS}
    if len(own) < len(entry):  # the label is made, and named after the task
        own.pop("label", None)
    return task_from_config({"kind": "binary", **own})


def _made(kind: Any) -> Callable[[Any], Any]:
    def parse(entry: Any) -> Any:
        fields = [field.name for field in dataclasses.fields(kind)]
        if not isinstance(entry, Mapping) or not set(entry) <= set(fields):
            raise ValueError(f"must be a mapping of {fields}. Received: {entry!r}")
        given = {name: tuple(v) if isinstance(v, list) else v for name, v in entry.items()}
        return kind(**given)

    return parse


def _table(entry: Any) -> Table:
    if not isinstance(entry, Mapping) or set(entry) != {"files", "key"}:
        raise ValueError(f"must be a mapping of `files` and `key`. Received: {entry!r}")
    return Table(_texts(entry["files"]), _texts(entry["key"]))


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be a text that is not empty. Received: {value!r}")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(item) for item in (value if isinstance(value, list) else [value]))


def _time(value: Any) -> TimeColumn:
    if isinstance(value, str):
        return TimeColumn(value)
    made: TimeColumn = _made(TimeColumn)(value)
    return made


def _split(value: Any) -> SplitConfig:
    split: SplitConfig = _made(SplitConfig)(value)
    return dataclasses.replace(split, test_files=_texts(list(split.test_files)))


def _memory(value: Any) -> int:
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    if isinstance(value, str) and value[-2:].upper() in units:
        return int(float(value[:-2]) * units[value[-2:].upper()])
    return check_count("memory", value)


def _maybe(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else parse(value)


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "files": _texts,
    "user": _maybe(_text),
    "time": _maybe(_time),
    "date": _maybe(_text),
    "weight": _maybe(_text),
    "request": _maybe(_text),
    "skip_training": _maybe(_text),
    "unique": _texts,
    "outcomes": _texts,
    "ignore": _texts,
    "half_life": _maybe(lambda value: check_positive("half_life", value)),
    "rates": _maybe(_texts),
    "split": _split,
    "memory": _maybe(_memory),
}
_LISTED: Mapping[str, Callable[[Any], Any]] = {
    "tasks": _task,
    "features": feature_from_config,
    "tables": _table,
    "statistics": _made(KeyGroup),
    "histories": _made(History),
}
