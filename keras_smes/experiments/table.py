"""Results as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_smes.experiments.summary import MEAN_AUC
from keras_smes.experiments.user_groups import NUM_GROUPS
from keras_smes.formatting import UNKNOWN, markdown_table, mean_and_spread, number

Results = Mapping[str, Any]

MEANS = "Mean ± standard deviation over seeds."
DIFFERENCES = (
    "Mean over paired seeds [its 95 % t interval, if there are several]; + is better than {reference}. "
    "A difference whose interval holds 0 is not statistically significant; of true differences of 0, one "
    "interval in twenty leaves 0 out."
)
OVER_USERS = (
    "The same differences; the intervals cover what other test users would change, too, not only other "
    f"seeds: a jackknife over {NUM_GROUPS} groups of users, see `hierarchical_difference`."
)
COST = (
    "Parameters and executed multiplications are of the experts with their routers or gates, at the "
    "measured mean |U|; latency is the median of {candidates} candidates through the whole graph, in this "
    "process."
)
ROUTING = "On the test rows, and the load on the training rows too. Mean over seeds (the worst seed)."


def to_markdown(results: Results) -> str:
    """Returns the results of an experiment as Markdown.

    Args:
        results: From `summarize`.

    Returns:
        Tables of quality, differences to the reference, cost and routing.
    """
    experiment = results["experiment"]
    reference = experiment["reference"]
    sections = [
        f"# {experiment['name']}",
        experiment["question"],
        _how(results),
        _section("Quality", MEANS, *_quality(results)),
        _section(
            f"Difference to {reference}, x 1000",
            DIFFERENCES.format(reference=reference),
            *_differences(results, "difference"),
        ),
        _section(
            "The same with intervals over seeds and users, x 1000",
            OVER_USERS,
            *_differences(results, "difference_over_users"),
        ),
        _section("Cost", COST.format(candidates=experiment["candidates"]), *_cost(results)),
        _section("Routing", ROUTING, *_routing(results)),
        _section(
            f"Share of the AUC gap to the oracle that {reference} closes, from each other model",
            "",
            *_gaps(results),
        ),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


Table = tuple[Sequence[str], Sequence[Sequence[Any]]]  # header and rows


def _section(title: str, note: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    parts = (f"## {title}", note, markdown_table(header, rows))
    return "\n\n".join(part for part in parts if part) if rows else ""


def _metrics(results: Results) -> list[str]:
    """The metrics of the table: the mean AUC, then each task's AUC and, of rows with users, GAUC."""
    known = next(iter(results["rows"].values()))["metrics"]
    tasks = [name.removesuffix("_auc") for name in known if name.endswith("_auc") and name != MEAN_AUC]
    anywhere = {name for row in results["rows"].values() for name in row["metrics"]}
    names = (f"{task}_{name}" for task in tasks for name in ("auc", "gauc"))
    return [MEAN_AUC, *(name for name in names if name in anywhere)]


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


def _quality(results: Results) -> Table:
    names, rows = _metrics(results), []
    for label, row in results["rows"].items():
        found = [row["metrics"].get(name) for name in names]
        cells = [UNKNOWN if own is None else mean_and_spread(own["mean"], own["spread"]) for own in found]
        rows.append([label, len(row["seeds"]), *cells])
    if tasks := results.get("oracle"):
        known = {f"{task}_{name}": value for task, own in tasks.items() for name, value in own.items()}
        known[MEAN_AUC] = sum(own["auc"] for own in tasks.values()) / len(tasks)
        rows.append(["(oracle)", UNKNOWN, *(number(known.get(name)) for name in names)])
    return ["", "seeds", *names], rows


def _differences(results: Results, key: str) -> Table:
    names = _metrics(results)
    rows = [
        [label, row[key][MEAN_AUC]["pairs"], *(_difference(row[key].get(name)) for name in names)]
        for label, row in results["rows"].items()
        if row.get(key)
    ]
    return ["", "pairs", *names], rows


def _difference(difference: Mapping[str, Any] | None) -> str:
    if difference is None:
        return UNKNOWN
    mean, low, high = (difference[name] for name in ("mean", "low", "high"))
    return f"{1e3 * mean:+.2f}" + ("" if low is None else f" [{1e3 * low:+.2f}, {1e3 * high:+.2f}]")


def _cost(results: Results) -> Table:
    reference = results["rows"].get(results["experiment"]["reference"])
    rows = []
    for label, row in results["rows"].items():
        cost, speed = row["cost"], row["speed"]
        relative = [
            number(cost[name], 0) + (f" ({cost[name] / reference['cost'][name]:.2f}x)" if reference else "")
            for name in ("parameters", "multiplications")
        ]
        speeds = [number(speed["rows_per_second"], 0), number(speed["latency_ms"], 2)]
        rows.append([label, *relative, f"{cost['all_parameters']:,.0f}", *speeds])
    header = ["", "parameters", "multiply-adds per row", "parameters, all", "training rows/s", "latency, ms"]
    return header, rows


def _routing(results: Results) -> Table:
    rows = []
    for label, row in results["rows"].items():
        if own := row["routing"]:
            sizes = [number(own[name], digits) for name, digits in SIZES]
            names = [(prefix + name, digits) for prefix in ("", "train_") for name, digits in LOAD]
            load = [_and_worst(own, name, digits) for name, digits in names]
            rows.append([label, *sizes, *load])
    header = ["", "E", "mean \\|U\\|", "bound", "load, max over mean", "dead experts"]
    return [*header, "load, training rows", "dead, training rows"], rows


SIZES = (("num_experts", 0), ("union_mean", 2), ("union_bound", 0))
LOAD = (("load_max_over_mean", 2), ("dead_experts", 1))


def _and_worst(routing: Mapping[str, float], name: str, digits: int) -> str:
    if name not in routing:
        return UNKNOWN
    return f"{routing[name]:,.{digits}f} ({routing[f'{name}_worst']:,.{digits}f})"


def _gaps(results: Results) -> Table:
    """Share of each other model's gap to the oracle that the reference closes."""
    reference, best = results["rows"].get(results["experiment"]["reference"]), results.get("oracle", {})
    rows = []
    for label, row in results["rows"].items() if best and reference else ():
        if row is not reference:
            rows.append([label, *(_gap_closed(best[t]["auc"], f"{t}_auc", row, reference) for t in best)])
    return ["from", *best], rows


def _gap_closed(best: float, metric: str, row: Results, reference: Results) -> str:
    own, other = (float(r["metrics"][metric]["mean"]) for r in (reference, row))
    return f"{(own - other) / (best - other):.0%}" if best > other else UNKNOWN
