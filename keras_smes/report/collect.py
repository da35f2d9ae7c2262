"""Reads folders as runs, and groups runs that differ only in the seed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_smes.diagnostics import read_routing
from keras_smes.diagnostics.routing_csv import Measured
from keras_smes.experiments.run import RUNS, read_runs
from keras_smes.files import read_json_object
from keras_smes.incremental.progressive import DAY
from keras_smes.training.run_folder import CONFIG, METRICS, ROUTING

NEEDED = ("tasks", "routing", "split", "environment")


class Run(NamedTuple):
    """A finished run."""

    name: str  # of its folder, or of its row in an experiment
    config: Mapping[str, Any]  # `RunConfig` as JSON values
    metrics: Mapping[str, Any]  # contents of `metrics.json`
    routing: Sequence[Measured]  # lines of `routing.csv`; empty without the file


class Group(NamedTuple):
    """Runs that differ only in the seed, in the order of their seeds."""

    label: str  # unique on the page
    runs: Sequence[Run]  # at least one


def collect(folders: Sequence[str | Path]) -> list[Group]:
    """Reads folders of runs of `keras-smes train`, of experiments and of progressive validation.

    Runs that differ only in the seed become one group, as do the runs of a row of an experiment. A run that
    continues another is never in the same group. Each finished day of progressive validation is a run.

    Args:
        folders: The folders; one that is given twice is read once.

    Returns:
        A `Group` per model, in the order of the folders.

    Raises:
        ValueError: A folder is none of these, or a file can't be read.

    Example:

    >>> [group.label for group in collect(["runs/smes", "runs/mmoe"])]
    ['smes', 'mmoe']
    """
    if not folders:
        raise ValueError("`folders` must name at least one run. Received: none")
    paths = list(dict.fromkeys(Path(folder) for folder in folders))
    groups: dict[str, list[Run]] = {}
    for path in paths:
        for key, run in _read(path, is_alone=len(paths) == 1):
            while any(other.config["seed"] == run.config["seed"] for other in groups.get(key, [])):
                key += "'"  # the same run again: not another seed, so no mean over seeds
            groups.setdefault(key, []).append(run)
    ordered = [sorted(runs, key=lambda run: run.config["seed"]) for runs in groups.values()]
    return [Group(label, runs) for label, runs in zip(_labels(ordered), ordered, strict=True)]


def same_test_rows(groups: Sequence[Group]) -> bool:
    """Returns whether all runs were tested on the same rows, according to their splits."""
    runs = [run for group in groups for run in group.runs]
    tested = [json.dumps([run.config["data"], run.metrics["split"]["test"]], sort_keys=True) for run in runs]
    return len(set(tested)) == 1


def _read(folder: Path, is_alone: bool) -> list[tuple[str, Run]]:
    """The runs of a folder, each with the key of its group."""
    prefix = "" if is_alone else f"{folder.resolve().name}: "
    if _is_run(folder):
        return [_of_run(folder)]
    if days := [path.parent for path in sorted(folder.glob(f"*/{DAY}")) if _is_run(path.parent)]:
        return [_of_run(day, prefix) for day in days]
    if (folder / RUNS).is_file():
        lines = read_runs(folder / RUNS).values()
        return [(f"{folder}: {own['label']}", _of_experiment(own, prefix + own["label"])) for own in lines]
    raise ValueError(
        f"`runs` must be folders of finished runs ({CONFIG}, {METRICS}), of days that have such ({DAY}), or "
        f"of experiments ({RUNS}). Received: {folder}"
    )


def _is_run(folder: Path) -> bool:
    return (folder / METRICS).is_file() and (folder / CONFIG).is_file()  # METRICS is written last


def _of_run(folder: Path, prefix: str = "") -> tuple[str, Run]:
    config, metrics = (read_json_object(folder / name) for name in (CONFIG, METRICS))
    if missing := [name for name in NEEDED if name not in metrics]:
        raise ValueError(f"{folder / METRICS} must hold {list(NEEDED)}. Received: missing={missing}")
    routing = read_routing(folder / ROUTING) if (folder / ROUTING).is_file() else []
    return _but_seed(config, metrics), Run(prefix + folder.resolve().name, config, metrics, routing)


def _of_experiment(line: Mapping[str, Any], name: str) -> Run:
    """A line of `runs.jsonl`, with the names of a run's files."""
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
    """Key of runs that differ only in the seed, including the run that they continue."""
    shared = {name: value for name, value in config.items() if name != "seed"}
    start = metrics.get("start")
    place = start and [start.get("first_step"), start.get("new")]
    return json.dumps([shared, metrics["split"], place], sort_keys=True)


def _labels(groups: Sequence[Sequence[Run]]) -> list[str]:
    """The folder's name for a single run, the model's for several; numbered if ambiguous."""
    labels: list[str] = []
    for runs in groups:
        alone = len({run.name for run in runs}) == 1
        label = runs[0].name if alone else str(runs[0].config["model"])
        taken = sum(other.partition(" #")[0] == label for other in labels)
        labels.append(f"{label} #{taken + 1}" if taken else label)
    return labels
