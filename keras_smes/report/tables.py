"""Tables of the page: metrics, expert utilisation, cost, settings."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from keras_smes import formatting
from keras_smes.experiments.intervals import mean_and_spread
from keras_smes.formatting import COLUMNS, number, title
from keras_smes.report.collect import Group, same_test_rows
from keras_smes.training.loop.selection import gain_of

UNKNOWN = "–"  # typeset, where plain text has a hyphen
OF_EVENTS = ["auc", "gauc", "logloss", "predicted_over_observed", "calibration_error", "positives", "rows"]
OF_NUMBERS = ["mae", "rmse", "xauc", "gxauc", "predicted_over_observed", "rows"]


class Marked(NamedTuple):
    """A highlighted cell."""

    text: str
    mark: str  # its class in `page.css`


class Table(NamedTuple):
    """A table of the page."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]  # text or `Marked`; a row whose first cell is empty continues the one above
    heads: int = 1  # header cells per row


def quality(groups: Sequence[Group]) -> list[Table]:
    """Tables of the tasks' metrics: one for events and one for numbers, if there are any."""
    kinds: dict[str, bool] = {}  # whether a task is of events
    for group in groups:
        for task, own in group.runs[0].metrics["tasks"].items():
            kinds.setdefault(task, "auc" in own)
    made = {"Events": (True, OF_EVENTS), "Numbers": (False, OF_NUMBERS)}
    return [
        _of_tasks(f"{name}, on the test rows", groups, tasks, columns)
        for name, (are_events, columns) in made.items()
        if (tasks := [task for task, is_event in kinds.items() if is_event is are_events])
    ]


def _of_tasks(caption: str, groups: Sequence[Group], tasks: Sequence[str], columns: Sequence[str]) -> Table:
    rows, compares = [], same_test_rows(groups)
    for task in tasks:
        cells: list[list[Any]] = [[task if n == 0 else "", group.label] for n, group in enumerate(groups)]
        for name in columns:
            values = [_values(group, f"tasks.{task}.{name}") for group in groups]
            best = _best(values, gain_of(name)) if compares else None
            for n, own in enumerate(values):
                text = _spread(name, own)
                cells[n].append(Marked(text, "best") if n == best else text)
        rows += cells
    return Table(caption, ["task", "", *map(title, columns)], rows, heads=2)


def _best(column: Sequence[Sequence[float]], gain: Callable[[float], float] | None) -> int | None:
    """Index of the group with the best mean; `None` without an order or a second group."""
    if gain is None:
        return None
    gains = {n: gain(sum(values) / len(values)) for n, values in enumerate(column) if values}
    return max(gains, key=gains.__getitem__) if len(gains) > 1 else None


def routing(groups: Sequence[Group]) -> Table:
    """Table of the routing of all groups; groups without routers have empty cells."""
    return _measures("Routing, on the test rows", groups, "routing.", formatting.ROUTING)


def cost(groups: Sequence[Group]) -> Table:
    """Table of each group's parameters, multiplications and training time."""
    return _measures("Experts are counted with their routers or gates", groups, "", formatting.COST)


def _measures(caption: str, groups: Sequence[Group], prefix: str, columns: Iterable[str]) -> Table:
    rows = [
        [group.label, *(_spread(name, _values(group, prefix + name)) for name in columns)] for group in groups
    ]
    return Table(caption, ["", *map(title, columns)], rows)


def _values(group: Group, path: str) -> list[float]:
    """A metric of all runs of a group; empty if a run lacks it."""
    found: list[Any] = [run.metrics for run in group.runs]
    for name in path.split("."):
        found = [values.get(name) if isinstance(values, Mapping) else None for values in found]
    return [] if None in found else [float(value) for value in found]


def _spread(name: str, values: Sequence[float]) -> str:
    if not values:
        return UNKNOWN
    return formatting.mean_and_spread(*mean_and_spread(values), COLUMNS[name][1])


def data(groups: Sequence[Group]) -> Table:
    """Table of training and test rows."""
    rows = []
    for group in groups:
        config, split = group.runs[0].config, group.runs[0].metrics["split"]
        for part, first in {"train": [group.label, _plain(config["data"])], "test": ["", ""]}.items():
            counts = [number(split[part][n]) if n in split[part] else UNKNOWN for n in ("rows", "users")]
            dates = [split[part].get(name, UNKNOWN) for name in ("first_date", "last_date")]
            rows.append([*first, part, *counts, *dates])
    header = ["", "data", "part", "rows", "users", "from", "to"]
    return Table("Rows that were trained on and tested on", header, rows)


def settings(groups: Sequence[Group]) -> Table:
    """Table of all configuration keys, with differences between groups highlighted."""
    values = _side_by_side([{**group.runs[0].config, "seed": None} for group in groups])
    values["seed"] = [", ".join(str(run.config["seed"]) for run in group.runs) for group in groups]
    rows = [["seed", *values.pop("seed")]]
    for key, own in values.items():
        rows.append([key, *([Marked(value, "differs") for value in own] if len(set(own)) > 1 else own)])
    return _by_group("All settings", groups, rows)


def differing_settings(groups: Sequence[Group]) -> Table:
    """Table of the configuration keys that differ between groups."""
    rows = [row for row in settings(groups).rows if isinstance(row[1], Marked)]
    return _by_group(
        "Settings that differ", groups, [[key, *(own.text for own in cells)] for key, *cells in rows]
    )


def environment(groups: Sequence[Group]) -> Table:
    """Table of versions, machine and source."""
    values = _side_by_side([group.runs[0].metrics["environment"] for group in groups])
    return _by_group("Versions, machine and source", groups, [[key, *own] for key, own in values.items()])


def _side_by_side(nested: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The values of each dotted name, one per mapping."""
    flat = [_flat(values) for values in nested]
    keys = dict.fromkeys(key for own in flat for key in own)
    return {key: [own.get(key, UNKNOWN) for own in flat] for key in keys}


def _by_group(caption: str, groups: Sequence[Group], rows: Sequence[Sequence[Any]]) -> Table:
    return Table(caption, ["", *(group.label for group in groups)], rows)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values by dotted names."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = _plain(value)
    return flat


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(own) for own in value) or UNKNOWN
    return UNKNOWN if value is None or value == {} else str(value)
