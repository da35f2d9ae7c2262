"""Finished runs to results: means, spreads, paired differences."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_smes.experiments.config import Experiment
from keras_smes.experiments.intervals import (
    hierarchical_difference,
    mean_and_spread,
    paired_difference,
    pseudo_values,
)

MEAN_AUC = "mean_auc"
Line = Mapping[str, Any]


def summarize(experiment: Experiment, lines: Sequence[Line]) -> dict[str, Any]:
    """Aggregates the finished runs of an experiment.

    Args:
        experiment: The `Experiment`.
        lines: The runs, each with `label`, `seed`, `tasks`, `routing`, `cost`, `speed`, and where it was
            made.

    Returns:
        JSON values: `experiment`, `split`, `environments`, `is_complete`, and `rows`, of each label: `seeds`,
        `metrics` (`mean`, `spread` over seeds and `values` of each metric, `mean_auc` over the tasks among
        them), `difference` to the reference over the seeds that both have, `difference_over_users` with
        intervals over test users too, of runs that have `without_groups`, `cost`, `speed` and `routing`.
        `oracle` where rows are simulated.
    """
    by_label: dict[str, dict[int, Line]] = {label: {} for label in experiment.labels}
    for line in lines:
        by_label[line["label"]][line["seed"]] = line
    assert experiment.reference is not None
    reference = by_label[experiment.reference]
    results = {
        "experiment": experiment.to_dict(),
        "is_complete": all(set(own) == set(experiment.seeds) for own in by_label.values()),
        "split": lines[0]["split"],
        "environments": _distinct(line["environment"] for line in lines),
        "rows": {label: _row(own, reference) for label, own in by_label.items() if own},
    }
    return {**results, "oracle": lines[0]["oracle"]} if "oracle" in lines[0] else results


def metrics_of(line: Line) -> dict[str, float]:
    """Returns a run's metrics by name, `TASK_auc` and the like, and their mean over tasks, `mean_auc`."""
    figures = {
        f"{task}_{name}": value
        for task, own in line["tasks"].items()
        for name, value in own.items()
        if value is not None
    }
    aucs = [own["auc"] for own in line["tasks"].values() if own.get("auc") is not None]
    return {**figures, MEAN_AUC: float(np.mean(aucs))} if aucs else figures


def by_group(line: Line, name: str) -> NDArray[np.float64] | None:
    """Returns a metric's `pseudo_values` by group of users, `None` where a group's is not known."""
    if name == MEAN_AUC:
        tasks = [by_group(line, f"{task}_auc") for task, own in line["tasks"].items() if own.get("auc")]
        known = [values_g for values_g in tasks if values_g is not None]
        return np.mean(known, axis=0) if known and len(known) == len(tasks) else None
    without = line.get("without_groups", {}).get(name)
    if without is None or None in without:
        return None
    return pseudo_values(metrics_of(line)[name], without)


def _over_users(
    own: Mapping[int, Line], reference: Mapping[int, Line], name: str, seeds: Sequence[int]
) -> dict[str, Any] | None:
    """The difference with its interval over seeds and users, if all runs know their groups."""
    one, other = ([by_group(lines[seed], name) for seed in seeds] for lines in (own, reference))
    if any(values_g is None for values_g in (*one, *other)):
        return None
    return hierarchical_difference(np.array(one), np.array(other))._asdict()


def _row(own: Mapping[int, Line], reference: Mapping[int, Line]) -> dict[str, Any]:
    by_seed = {seed: metrics_of(line) for seed, line in sorted(own.items())}
    others = {seed: metrics_of(line) for seed, line in reference.items() if seed in by_seed}
    names = [name for name in next(iter(by_seed.values())) if all(name in m for m in by_seed.values())]
    metrics, differences, of_users = {}, {}, {}
    for name in names:
        values = [figures[name] for figures in by_seed.values()]
        mean, spread = mean_and_spread(values)
        metrics[name] = {"mean": mean, "spread": spread, "values": values}
        if others and own is not reference:
            one, other = ([by[seed][name] for seed in sorted(others)] for by in (by_seed, others))
            differences[name] = paired_difference(one, other)._asdict()
            if (over_users := _over_users(own, reference, name, sorted(others))) is not None:
                of_users[name] = over_users
    return {
        "seeds": list(by_seed),
        "metrics": metrics,
        "difference": differences,
        "difference_over_users": of_users,
        "cost": _means([line["cost"] for line in own.values()]),
        "speed": _medians([line["speed"] for line in own.values()]),
        "routing": _routing([line["routing"] for line in own.values()]),
    }


def _routing(routings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds, the worst load and most dead experts, and the first seed's loads."""
    if not routings[0]:
        return {}
    names = [name for name, value in routings[0].items() if all(_is_number(r.get(name)) for r in routings)]
    worst = {
        f"{name}_worst": max(r[name] for r in routings)
        for name in names
        if name.endswith(("load_max_over_mean", "dead_experts"))
    }
    means = _means([{name: r[name] for name in names} for r in routings])
    return {**means, **worst, "expert_load": routings[0]["expert_load"]}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _medians(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    present = {name: [v for row in rows if (v := row[name]) is not None] for name in rows[0]}
    return {name: float(np.median(values)) if values else None for name, values in present.items()}


def _distinct(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
