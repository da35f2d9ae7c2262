"""Results as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_smes.experiments.summary import MEAN_AUC
from keras_smes.experiments.user_groups import NUM_GROUPS
from keras_smes.formatting import UNKNOWN, markdown_table, mean_and_spread, number

Results = Mapping[str, Any]


def to_markdown(results: Results) -> str:
    """Returns the results as Markdown: quality, differences to the reference, cost, routing.

    Args:
        results: What `summarize` returned.
    """
    experiment = results["experiment"]
    sections = [
        f"# {experiment['name']}",
        experiment["question"],
        _how(results),
        _quality(results),
        _differences(results),
        _differences_over_users(results),
    ]
    sections += [_cost(results), _routing(results), _gaps(results)]
    return "\n\n".join(section for section in sections if section) + "\n"


def quality_metrics(results: Results) -> list[str]:
    """Returns the metrics of the table: the mean AUC, then each task's AUC and, of rows with users, GAUC."""
    known = next(iter(results["rows"].values()))["metrics"]
    tasks = [name.removesuffix("_auc") for name in known if name.endswith("_auc") and name != MEAN_AUC]
    names = (f"{task}_{name}" for task in tasks for name in ("auc", "gauc"))
    is_known = {name for row in results["rows"].values() for name in row["metrics"]}
    return [MEAN_AUC, *(name for name in names if name in is_known)]


def _how(results: Results) -> str:
    split, seeds = results["split"], results["experiment"]["seeds"]
    parts = [f"{name}: {_described(split[name])}" for name in ("train", "test")]
    env = results["environments"][-1]
    sources = ", ".join(dict.fromkeys(str(env["commit"]) for env in results["environments"]))
    packages = ", ".join(f"{name} {version}" for name, version in env["packages"].items())
    lines = [
        f"Data: {results['experiment']['data']}, {'; '.join(parts)}.",
        f"Seeds: {seeds[0]} to {seeds[-1]}, {len(seeds)} of them"
        + ("." if results["is_complete"] else "; **not all runs are finished**."),
        f"Made with {packages}, Python {env['python']}, {env['machine']}, {env['cpus']} CPUs; "
        f"source {sources}.",
        "Written by `keras-smes experiment`; `results.json` holds every value.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _described(part: Mapping[str, Any]) -> str:
    rows = f"{part['rows']:,} rows"
    return f"{rows} of {part['first_date']} to {part['last_date']}" if "first_date" in part else rows


def _quality(results: Results) -> str:
    names = quality_metrics(results)
    rows = []
    for label, row in results["rows"].items():
        rows.append(
            [label, len(row["seeds"]), *(_mean_and_spread(row["metrics"].get(name)) for name in names)]
        )
    if "oracle" in results:
        rows.append(["(oracle)", UNKNOWN, *_of_oracle(results["oracle"], names)])
    return "## Quality\n\nMean ± standard deviation over seeds.\n\n" + markdown_table(
        ["", "seeds", *names], rows
    )


def _of_oracle(tasks: Results, names: Sequence[str]) -> list[str]:
    known = {f"{task}_{name}": value for task, own in tasks.items() for name, value in own.items()}
    known[MEAN_AUC] = sum(own["auc"] for own in tasks.values()) / len(tasks)
    return [number(known.get(name)) for name in names]


def _differences(results: Results) -> str:
    reference = results["experiment"]["reference"]
    note = (
        f"Mean over paired seeds [its 95 % t interval, if there are several]; + is better than {reference}. "
        "A difference whose interval holds 0 is not statistically significant; of true differences of 0, one "
        "interval in twenty leaves 0 out."
    )
    return _difference_table(results, "difference", f"## Difference to {reference}, x 1000\n\n{note}")


def _differences_over_users(results: Results) -> str:
    note = (
        "The same differences; the intervals cover what other test users would change, too, not only other "
        f"seeds: a jackknife over {NUM_GROUPS} groups of users, see `hierarchical_difference`."
    )
    title = "## The same with intervals over seeds and users, x 1000"
    return _difference_table(results, "difference_over_users", f"{title}\n\n{note}")


def _difference_table(results: Results, key: str, heading: str) -> str:
    names = quality_metrics(results)
    rows = [
        [label, row[key][MEAN_AUC]["pairs"], *(_difference(row[key].get(name)) for name in names)]
        for label, row in results["rows"].items()
        if row.get(key)
    ]
    return f"{heading}\n\n" + markdown_table(["", "pairs", *names], rows) if rows else ""


def _cost(results: Results) -> str:
    reference = results["rows"].get(results["experiment"]["reference"])
    rows = []
    for label, row in results["rows"].items():
        cost, speed = row["cost"], row["speed"]
        rows.append(
            [
                label,
                *(
                    _with_ratio(cost[n], reference and reference["cost"][n])
                    for n in ("parameters", "multiplications")
                ),
                f"{cost['all_parameters']:,.0f}",
                number(speed["rows_per_second"], 0),
                number(speed["latency_ms"], 2),
            ]
        )
    header = ["", "parameters", "multiplications a row", "parameters, all", "training rows/s", "latency, ms"]
    note = (
        "Parameters and executed multiplications are of the experts with their routers or gates, at the "
        f"measured mean |U|; latency is the median of {results['experiment']['candidates']} candidates "
        "through the whole graph, in this process."
    )
    return f"## Cost\n\n{note}\n\n" + markdown_table(header, rows)


def _routing(results: Results) -> str:
    rows = []
    for label, row in results["rows"].items():
        if own := row["routing"]:
            union = [number(own["union_mean"], 2), number(own["union_bound"], 0)]
            load = [
                _and_worst(own, f"{prefix}{name}", digits)
                for prefix in ("", "train_")
                for name, digits in (("load_max_over_mean", 2), ("dead_experts", 1))
            ]
            rows.append([label, number(own["num_experts"], 0), *union, *load])
    if not rows:
        return ""
    header = ["", "E", "mean \\|U\\|", "bound", "load, max over mean", "dead experts"]
    header += ["load, training rows", "dead, training rows"]
    note = "On the test rows, and the load on the training rows too. Mean over seeds (the worst seed)."
    return f"## Routing\n\n{note}\n\n" + markdown_table(header, rows)


def _and_worst(routing: Mapping[str, float], name: str, digits: int) -> str:
    if name not in routing:
        return UNKNOWN
    return f"{routing[name]:,.{digits}f} ({routing[f'{name}_worst']:,.{digits}f})"


def _gaps(results: Results) -> str:
    """Share of each other model's gap to the oracle that the reference closes."""
    reference = results["rows"].get(results["experiment"]["reference"])
    if "oracle" not in results or reference is None:
        return ""
    tasks = list(results["oracle"])
    rows = []
    for label, row in results["rows"].items():
        if row is not reference:
            shares = [
                _gap_closed(results["oracle"][task]["auc"], f"{task}_auc", row, reference) for task in tasks
            ]
            rows.append([label, *(f"{share:.0%}" if share is not None else UNKNOWN for share in shares)])
    if not rows:
        return ""
    name = results["experiment"]["reference"]
    title = f"## Share of the AUC gap to the oracle that {name} closes, from each other model"
    return f"{title}\n\n" + markdown_table(["from", *tasks], rows)


def _gap_closed(best: float, metric: str, row: Results, reference: Results) -> float | None:
    own, other = (float(r["metrics"][metric]["mean"]) for r in (reference, row))
    return (own - other) / (best - other) if best > other else None


def _mean_and_spread(metric: Mapping[str, Any] | None) -> str:
    return UNKNOWN if metric is None else mean_and_spread(metric["mean"], metric["spread"])


def _difference(difference: Mapping[str, Any] | None) -> str:
    if difference is None:
        return UNKNOWN
    mean = f"{1e3 * difference['mean']:+.2f}"
    if difference["low"] is None:
        return mean
    return f"{mean} [{1e3 * difference['low']:+.2f}, {1e3 * difference['high']:+.2f}]"


def _with_ratio(value: float, reference: float | None) -> str:
    return f"{value:,.0f}" + (f" ({value / reference:.2f}x)" if reference else "")
