"""Tables of the page: metrics, expert utilisation, cost, settings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_smes import formatting
from keras_smes.experiments.intervals import mean_and_spread
from keras_smes.formatting import COLUMNS, number, title
from keras_smes.report.collect import Group, same_test_rows
from keras_smes.report.html import Cell, Markup, table
from keras_smes.training.loop.selection import gain_of

UNKNOWN = "–"  # typeset, where plain text has a hyphen
# The columns of tasks that are events, of tasks that are numbers, of routing and of cost.
OF_EVENTS = (
    "auc",
    "gauc",
    "logloss",
    "predicted_over_observed",
    "calibration_error",
    "positives",
    "rows",
)
OF_NUMBERS = ("mae", "rmse", "xauc", "gxauc", "predicted_over_observed", "rows")
OF_ROUTING = (
    "num_experts",
    "union_mean",
    "union_max",
    "union_bound",
    "load_max_over_mean",
    "load_cv",
    "load_gini",
    "dead_experts",
    "task_overlap",
    "router_entropy",
)
OF_COST = (
    "parameters.all",
    "parameters.experts",
    "multiplications",
    "training.rows",
    "training.epochs",
    "training.seconds",
    "training.rows_per_second",
)


def quality(groups: Sequence[Group]) -> list[Markup]:
    """Tables of the tasks' metrics: one for events and one for numbers, if there are any."""
    tasks = dict.fromkeys(task for group in groups for task in group.runs[0].metrics["tasks"])
    events = [task for task in tasks if "auc" in _any_figures(groups, task)]
    numbers = [task for task in tasks if task not in events]
    made = [
        ("Events, on the test rows", events, OF_EVENTS),
        ("Numbers, on the test rows", numbers, OF_NUMBERS),
    ]
    return [_of_tasks(caption, groups, own, columns) for caption, own, columns in made if own]


def routing(groups: Sequence[Group]) -> Markup:
    """Table of the routing of all groups; groups without routers have empty cells."""
    rows = [[group.label, *_measures(group, "routing.", OF_ROUTING)] for group in groups]
    return table("Routing, on the test rows", ["", *map(title, OF_ROUTING)], rows)


def cost(groups: Sequence[Group]) -> Markup:
    """Table of each group's parameters, multiplications and training time."""
    rows = [[group.label, *_measures(group, "", OF_COST)] for group in groups]
    return table(
        "Experts are counted with their routers or gates",
        ["", *map(title, OF_COST)],
        rows,
    )


def data(groups: Sequence[Group]) -> Markup:
    """Table of training and test rows."""
    rows = []
    for group in groups:
        config, split = group.runs[0].config, group.runs[0].metrics["split"]
        for n, part in enumerate(("train", "test")):
            own = split[part]
            dates = [own.get("first_date", UNKNOWN), own.get("last_date", UNKNOWN)]
            first = [group.label, _plain(config["data"])] if n == 0 else ["", ""]
            counts = [number(own[name]) if name in own else UNKNOWN for name in ("rows", "users")]
            rows.append([*first, part, *counts, *dates])
    return table(
        "Rows that were trained on and tested on", ["", "data", "part", "rows", "users", "from", "to"], rows
    )


def settings(groups: Sequence[Group]) -> Markup:
    """Table of all configuration keys, with differences between groups highlighted."""
    seeds = [", ".join(str(run.config["seed"]) for run in group.runs) for group in groups]
    rows = [
        [key, *(Cell(value, "differs" if _differ(values) else "") for value in values)]
        for key, values in _settings(groups).items()
    ]
    return _by_group("All settings", groups, [["seed", *seeds], *rows])


def differing_settings(groups: Sequence[Group]) -> Markup | None:
    """Table of the configuration keys that differ between groups; `None` if there are none."""
    rows = [[key, *values] for key, values in _settings(groups).items() if _differ(values)]
    return _by_group("Settings that differ", groups, rows) if rows else None


def environment(groups: Sequence[Group]) -> Markup:
    """Table of versions, machine and source."""
    values = _side_by_side([group.runs[0].metrics["environment"] for group in groups])
    return _by_group("Versions, machine and source", groups, [[key, *own] for key, own in values.items()])


def _settings(groups: Sequence[Group]) -> dict[str, list[str]]:
    configs = [group.runs[0].config for group in groups]
    return _side_by_side([{key: own for key, own in config.items() if key != "seed"} for config in configs])


def _side_by_side(nested: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The values of each dotted name, one per mapping."""
    flat = [_flat(values) for values in nested]
    keys = dict.fromkeys(key for own in flat for key in own)
    return {key: [own.get(key, UNKNOWN) for own in flat] for key in keys}


def _differ(values: Sequence[str]) -> bool:
    return len(set(values)) > 1


def _by_group(caption: str, groups: Sequence[Group], rows: Sequence[Sequence[Any]]) -> Markup:
    return table(caption, ["", *(group.label for group in groups)], rows)


def _of_tasks(caption: str, groups: Sequence[Group], tasks: Sequence[str], columns: Sequence[str]) -> Markup:
    rows, compares = [], same_test_rows(groups)
    for task in tasks:
        figures = [[_values(group, f"tasks.{task}.{name}") for name in columns] for group in groups]
        best = [
            _best([own[place] for own in figures], gain_of(name)) if compares else None
            for place, name in enumerate(columns)
        ]
        for n, (group, own) in enumerate(zip(groups, figures, strict=True)):
            cells = [
                Cell(_spread(name, values), "best" if n == winner else "")
                for name, values, winner in zip(columns, own, best, strict=True)
            ]
            rows.append([task if n == 0 else "", group.label, *cells])
    return table(caption, ["task", "", *map(title, columns)], rows, heads=2)


def _any_figures(groups: Sequence[Group], task: str) -> Mapping[str, Any]:
    return next(own for group in groups if (own := group.runs[0].metrics["tasks"].get(task)) is not None)


def _best(column: Sequence[Sequence[float]], gain: Callable[[float], float] | None) -> int | None:
    """Index of the group with the best mean; `None` without an order or a second group."""
    if gain is None:
        return None
    gains = {n: gain(sum(values) / len(values)) for n, values in enumerate(column) if values}
    return max(gains, key=gains.__getitem__) if len(gains) > 1 else None


def _measures(group: Group, prefix: str, columns: Sequence[str]) -> list[str]:
    return [_spread(name, _values(group, prefix + name)) for name in columns]


def _values(group: Group, path: str) -> list[float]:
    """A metric of all runs of a group; empty if a run lacks it."""
    found = [_at(run.metrics, path.split(".")) for run in group.runs]
    return [] if None in found else [float(value) for value in found]


def _at(values: Any, path: Sequence[str]) -> Any:
    for name in path:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def _spread(name: str, values: Sequence[float]) -> str:
    if not values:
        return UNKNOWN
    return formatting.mean_and_spread(*mean_and_spread(values), COLUMNS[name][1])


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
