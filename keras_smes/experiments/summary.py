"""Finished runs to results: means, spreads, paired differences."""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
WORST = ("load_max_over_mean", "dead_experts")  # measures of routing whose worst seed is reported
Line = Mapping[str, Any]


def summarize(experiment: Experiment, lines: Sequence[Line]) -> dict[str, Any]:
    """Aggregates the finished runs of an experiment.

    Args:
        experiment: The `Experiment`.
        lines: Its finished runs, the lines of `runs.jsonl` as JSON values; at least one.

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
    environments = [line["environment"] for line in lines]
    results = {
        "experiment": experiment.to_dict(),
        "is_complete": all(set(own) == set(experiment.seeds) for own in by_label.values()),
        "split": lines[0]["split"],
        "environments": [e for n, e in enumerate(environments) if e not in environments[:n]],
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


def _row(own: Mapping[int, Line], reference: Mapping[int, Line]) -> dict[str, Any]:
    by_seed = {seed: metrics_of(line) for seed, line in sorted(own.items())}
    shared = [seed for seed in by_seed if seed in reference and own is not reference]
    names = [name for name in next(iter(by_seed.values())) if all(name in m for m in by_seed.values())]
    metrics, differences, of_users = {}, {}, {}
    for name in names:
        values = [figures[name] for figures in by_seed.values()]
        mean, spread = mean_and_spread(values)
        metrics[name] = {"mean": mean, "spread": spread, "values": values}
        if shared:
            one, other = ([metrics_of(lines[seed])[name] for seed in shared] for lines in (own, reference))
            differences[name] = paired_difference(one, other)._asdict()
            grouped = [[by_group(lines[seed], name) for seed in shared] for lines in (own, reference)]
            if all(values_g is not None for by_seed_g in grouped for values_g in by_seed_g):
                of_users[name] = hierarchical_difference(*map(np.array, grouped))._asdict()
    return {
        "seeds": list(by_seed),
        "metrics": metrics,
        "difference": differences,
        "difference_over_users": of_users,
        "cost": _over_seeds(np.mean, own.values(), "cost"),
        "speed": _over_seeds(np.median, own.values(), "speed"),
        "routing": _routing([line["routing"] for line in own.values()]),
    }


def _routing(routings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds, the worst load and most dead experts, and the first seed's loads."""
    if not routings[0]:
        return {}
    columns: dict[str, list[Any]] = {name: [own.get(name) for own in routings] for name in routings[0]}
    numbers = {n: own for n, own in columns.items() if all(isinstance(v, int | float) for v in own)}
    means = {name: float(np.mean(own)) for name, own in numbers.items()}
    worst = {f"{name}_worst": max(own) for name, own in numbers.items() if name.endswith(WORST)}
    return {**means, **worst, "expert_load": routings[0]["expert_load"]}


def _over_seeds(average: Callable[[Any], Any], lines: Iterable[Line], part: str) -> dict[str, float | None]:
    rows = [line[part] for line in lines]
    present = {name: [v for row in rows if (v := row[name]) is not None] for name in rows[0]}
    return {name: float(average(values)) if values else None for name, values in present.items()}
