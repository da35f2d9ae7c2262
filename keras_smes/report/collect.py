"""Folders to runs, and runs to groups that differ in the seed alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_smes.diagnostics import read_routing
from keras_smes.diagnostics.routing_csv import Measured
from keras_smes.experiments.run import RUNS, read_runs
from keras_smes.incremental.progressive import DAY
from keras_smes.training.run_folder import CONFIG, METRICS, ROUTING

NEEDED = ("tasks", "routing", "split", "environment")


class Run(NamedTuple):
    """A finished run.

    Attributes:
        name: Name of its folder, or of its row in an experiment.
        config: The `RunConfig` as JSON values.
        metrics: What `metrics.json` holds, as far as it does.
        routing: The lines of `routing.csv`; none if there is no such file.
    """

    name: str
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    routing: Sequence[Measured]


class Group(NamedTuple):
    """Runs that differ in the seed alone, in the order of their seeds.

    Attributes:
        label: What it is called on the page; no two groups share it.
        runs: The runs, one or more.
    """

    label: str
    runs: Sequence[Run]


def collect(folders: Sequence[str | Path]) -> list[Group]:
    """Reads folders of runs, as `keras-smes train` writes them, of experiments and of progressive validation.

    Args:
        folders: The folders. Runs that differ in the seed alone become one group, and so do the runs of a
            row of an experiment. A run that goes on from another is never of one group with it. Each finished
            day of progressive validation is a run.

    Raises:
        ValueError: A folder is neither, or holds what can't be read.

    Example:

    >>> [group.label for group in collect(["runs/smes", "runs/mmoe"])]
    ['smes', 'mmoe']
    """
    if not folders:
        raise ValueError("`folders` must name a run or more. Received: none")
    paths = list(dict.fromkeys(Path(folder) for folder in folders))
    groups: dict[str, list[Run]] = {}
    for path in paths:
        for key, run in _read(path, is_alone=len(paths) == 1):
            while any(other.config["seed"] == run.config["seed"] for other in groups.get(key, [])):
                key += "'"  # the same once more: no other seed, so no mean over seeds
            groups.setdefault(key, []).append(run)
    ordered = [sorted(runs, key=lambda run: run.config["seed"]) for runs in groups.values()]
    return [Group(label, runs) for label, runs in zip(_labels(ordered), ordered, strict=True)]


def same_test_rows(groups: Sequence[Group]) -> bool:
    """Whether all runs were tested on the same rows, as far as their splits say."""
    runs = [run for group in groups for run in group.runs]
    tested = [json.dumps([run.config["data"], run.metrics["split"]["test"]], sort_keys=True) for run in runs]
    return len(set(tested)) == 1


def _read(folder: Path, is_alone: bool) -> list[tuple[str, Run]]:
    """The runs of a folder, each with what those that are its like have in common."""
    prefix = "" if is_alone else f"{folder.resolve().name}: "
    if _is_run(folder):
        return [_of_run(folder)]
    if days := [path.parent for path in sorted(folder.glob(f"*/{DAY}")) if _is_run(path.parent)]:
        return [_of_run(day, prefix) for day in days]
    if (folder / RUNS).is_file():
        lines = read_runs(folder / RUNS).values()
        return [
            (f"{folder}: {line['label']}", _of_experiment(line, prefix + line["label"])) for line in lines
        ]
    raise ValueError(
        f"`runs` must be folders of finished runs ({CONFIG}, {METRICS}), of days that have such ({DAY}), or "
        f"of experiments ({RUNS}). Received: {folder}"
    )


def _is_run(folder: Path) -> bool:
    return (folder / METRICS).is_file() and (folder / CONFIG).is_file()  # METRICS says that all are there


def _of_run(folder: Path, prefix: str = "") -> tuple[str, Run]:
    config, metrics = (_read_json(folder / name) for name in (CONFIG, METRICS))
    if missing := [name for name in NEEDED if name not in metrics]:
        raise ValueError(f"{folder / METRICS} must hold {list(NEEDED)}. Received: missing={missing}")
    routing = read_routing(folder / ROUTING) if (folder / ROUTING).is_file() else []
    return _but_seed(config, metrics), Run(prefix + folder.resolve().name, config, metrics, routing)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be a JSON file. Received: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object. Received: a {type(values).__name__}")
    return values


def _of_experiment(line: Mapping[str, Any], name: str) -> Run:
    """A line of `runs.jsonl` under the names that a run's own files have."""
    cost, speed = line["cost"], line["speed"]
    metrics = {
        **{name: line[name] for name in NEEDED},
        "parameters": {"all": cost["all_parameters"], "experts": cost["parameters"]},
        "multiplications": cost["multiplications"],
        "training": {
            "rows": line["split"]["train"]["rows"],
            "epochs": line["config"]["training"]["epochs"],
            "rows_per_second": speed["rows_per_second"],
        },
    }
    return Run(name, line["config"], metrics, [])


def _but_seed(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """What runs that differ in the seed alone have in common: also how far along they started."""
    shared = {name: value for name, value in config.items() if name != "seed"}
    start = metrics.get("start")
    place = start and [start.get("first_step"), start.get("new")]
    return json.dumps([shared, metrics["split"], place], sort_keys=True)


def _labels(groups: Sequence[Sequence[Run]]) -> list[str]:
    """The folder's name of a run alone, the model's of several; numbered where that is not enough."""
    labels: list[str] = []
    for runs in groups:
        alone = len({run.name for run in runs}) == 1
        label = runs[0].name if alone else str(runs[0].config["model"])
        taken = sum(other.partition(" #")[0] == label for other in labels)
        labels.append(f"{label} #{taken + 1}" if taken else label)
    return labels
