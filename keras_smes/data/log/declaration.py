"""The declaration of a log: files, roles of columns, tasks, features and split."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from keras_smes.configuration.document import ConfigError, Document
from keras_smes.configuration.structure import structure
from keras_smes.data.column_types import check_time_zone
from keras_smes.data.files.csv_reader import Column
from keras_smes.data.roles import History, KeyGroup
from keras_smes.data.split_config import SplitConfig
from keras_smes.features.config import feature_from_config
from keras_smes.features.feature import Feature
from keras_smes.tasks import BinaryTask, Task, as_tasks, task_from_config
from keras_smes.validation import check_count, check_number, check_one_of, check_positive

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
        check_one_of("unit", self.unit, UNITS)


@dataclasses.dataclass(frozen=True)
class Table:
    """A side table, such as of items, joined to the rows by key.

    Args:
        files: Its files, as those of a `Log`.
        key: Its columns that together are in one row only; the rows have them too.
        columns: As those of a `Log`.
    """

    files: tuple[str, ...]
    key: tuple[str, ...]
    columns: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        for name in ("files", "key"):
            object.__setattr__(self, name, _listed(getattr(self, name)))


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
        memory: Bytes that the rows may take in memory: `load_rows` keeps more on disk, `load` rejects them.
            Defaults to `None`: a quarter of the machine's for `load_rows`, any for `load`.
        request: Column of the request or session that a row was shown in, for metrics of the order within it.
            Defaults to `None`.
        skip_training: Column of 0 and 1, or booleans: where it is 1 a row is not trained on, but counts in
            statistics and histories, and as a validation or test row. Defaults to `None`.
        columns: What is read of CSV files, each as a `Column` of a type. Defaults to `()`: all columns, whose
            types are by their values.

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
    columns: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", _listed(self.files))
        object.__setattr__(self, "folder", Path(self.folder))
        object.__setattr__(self, "tasks", as_tasks(self.tasks))
        if isinstance(self.time, str):
            object.__setattr__(self, "time", TimeColumn(self.time))
        if isinstance(self.features, str) and self.features != AUTO:
            raise ValueError(f"`features` must be a list, or 'auto'. Received: features={self.features!r}")
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
            if not column:
                raise ValueError(f"`{role}` must name a column. Received: {column!r}")
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
        document = Document.read(path)
        with document.errors():
            if "tasks" not in document.values:
                raise ConfigError("A configuration must have `files` and `tasks`. Received: no `tasks`")
            if made := sorted({"labels", "folder"} & set(document.values)):
                raise ConfigError(f"A log's YAML has no such key. Received: {made[0]!r}", (made[0],))
            given = {key: own for key, own in document.values.items() if own is not None}
            tasks = structure({"tasks": given.pop("tasks", [])}, _Declared, {_Task: _task}).tasks
            given = {"name": Path(path).stem, "folder": Path(path).parent, **given}
            given["tasks"] = tuple(own.task for own in tasks)
            given["labels"] = tuple(own.label for own in tasks if own.label is not None)
            if "memory" in given:
                given["memory"] = bytes_of_memory(given["memory"])
            log: Log = structure(given, cls, {Feature: feature_from_config, TimeColumn: _time})
            return log


def _listed(names: Any) -> tuple[str, ...]:
    """Returns names, of which one may stand alone."""
    return tuple(map(str, [names] if isinstance(names, str | Path) else names))


class _Task(NamedTuple):
    """A task as a YAML declares it: with its label, if that is made."""

    task: Task
    label: Label | None = None


@dataclasses.dataclass(frozen=True)
class _Declared:
    tasks: tuple[_Task, ...]


def _task(entry: Any) -> _Task:
    if isinstance(entry, str):
        return _Task(BinaryTask(entry))
    if not isinstance(entry, Mapping):
        raise ValueError(f"must be the name of a binary task, or a mapping. Received: {entry!r}")
    own = {key: value for key, value in entry.items() if key not in LABEL_KEYS}
    made = {key: entry[key] for key in LABEL_KEYS if key in entry}
    if not made:
        return _Task(task_from_config({"kind": "binary", **own}))
    column = own.pop("label", own.get("name"))  # the label is made, and named after the task
    task = task_from_config({"kind": "binary", **own})
    positive = made.pop("positive", [])
    values = tuple(positive) if isinstance(positive, list) else (positive,)
    return _Task(task, Label(task.name, column, values, **made))


def _time(value: Any) -> Any:
    return TimeColumn(value) if isinstance(value, str) else structure(value, TimeColumn)


def bytes_of_memory(value: Any) -> int:
    """Returns bytes, of a number or of text such as 2GB.

    Raises:
        ConfigError: It is neither.
    """
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    try:
        if isinstance(value, str) and value[-2:].upper() in units:
            return int(float(value[:-2]) * units[value[-2:].upper()])
        return check_count("memory", value)
    except ValueError:
        message = f"`memory` must be bytes, or such as 2GB. Received: memory={value!r}"
        raise ConfigError(message, ("memory",)) from None
