"""A plan: all counts of a model on a cluster, and its bottlenecks."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_smes.configuration.document import Document
from keras_smes.configuration.structure import structure
from keras_smes.planning import sizes, traffic
from keras_smes.planning.cluster import Cluster
from keras_smes.planning.payload import default_request_bytes
from keras_smes.planning.workload import Workload
from keras_smes.training.run_folder import load_config, load_metrics, load_schema

GB = 1e9
BACKWARD = 2  # times the multiplications of a forward pass: gradients of inputs and of weights


@dataclasses.dataclass(frozen=True)
class Plan:
    """Results of `make_plan`.

    Args:
        parameters: By part.
        slot_bytes: By part.
        multiplications: Per instance of a forward pass, by part.
        step: Per training step: `multiplications` of all workers, rows touched, and per worker the bytes of
            `all_reduce`, `all_to_all`, `tables` (each way, as `tables_of_a_server`) and `memory`.
        request: `multiplications` and `bytes`.
        memory: Bytes on a `worker`, of which `activations` are an estimate; on a `server`; in `serving`,
            by one host with all weights.
        seconds: Lower bound on the seconds of a step, for each resource alone.
        full: Required over available memory, by machine; above 1 it doesn't fit.
    """

    parameters: Mapping[str, int]
    slot_bytes: Mapping[str, int]
    multiplications: Mapping[str, int]
    step: Mapping[str, int]
    request: Mapping[str, int]
    memory: Mapping[str, int]
    seconds: Mapping[str, float]
    full: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Returns the plan as JSON values."""
        return dataclasses.asdict(self)

    @property
    def slowest(self) -> str:
        """The slowest part of a step."""
        return max(self.seconds, key=lambda name: self.seconds[name])


def make_plan(model: Workload, cluster: Cluster | None = None) -> Plan:
    """Computes the resources of a model on a cluster.

    Args:
        model: The `Workload`.
        cluster: The `Cluster`. Defaults to `None`, one worker.

    Returns:
        The `Plan`.

    Example:

    >>> model = Workload([Lookup("user_id", rows=10**9, dim=64)], embedding_optimizer="rowwise_adagrad")
    >>> plan = make_plan(model, Cluster(workers=8, parameter_servers=4))
    >>> plan.memory["server"], round(plan.full["server"], 3)
    (65000000000, 0.127)
    """
    cluster = cluster or Cluster()
    kept, activations = sizes.kept_bytes(model, cluster), sizes.activation_bytes(model, cluster)
    tables, per_row = traffic.table_bytes(model, cluster), sizes.multiplications(model)
    step = {
        "multiplications": (1 + BACKWARD) * model.batch_size * sum(per_row.values()),
        "touched_rows": sum(traffic.touched_rows(model).values()),
        "all_reduce": traffic.all_reduce_bytes(model, cluster),
        "all_to_all": traffic.all_to_all_bytes(model, cluster),
        "tables": tables["worker"],
        "tables_of_a_server": tables["server"],
        "memory": traffic.memory_bytes(model, cluster),
    }
    memory = {**kept, "worker": kept["worker"] + activations, "activations": activations}
    return Plan(
        sizes.parameters(model),
        sizes.slot_bytes(model),
        per_row,
        step,
        {"multiplications": model.candidates * sum(per_row.values()), "bytes": default_request_bytes(model)},
        memory,
        _seconds(step, cluster),
        {
            "worker": memory["worker"] / GB / cluster.worker_memory_gb,
            "server": memory["server"] / GB / cluster.host_memory_gb,
            "serving": memory["serving"] / GB / cluster.host_memory_gb,
        },
    )


def _seconds(step: Mapping[str, int], cluster: Cluster) -> dict[str, float]:
    links = {name: step[name] for name in ("all_reduce", "all_to_all", "tables", "tables_of_a_server")}
    per_second = 1e12 * cluster.teramultiplications_per_second
    return {
        "multiplications": step["multiplications"] / cluster.workers / per_second,
        "memory": step["memory"] / GB / cluster.memory_gb_per_second,
        **{name: count / GB / cluster.link_gb_per_second for name, count in links.items()},
    }


def read_plan(path: str | Path) -> tuple[Workload, Cluster]:
    """Reads the model and cluster of a plan.

    Args:
        path: YAML or JSON, with the fields of `Workload` under `model` and of `Cluster` under `cluster`; or
            the folder of a finished run, which is planned for one worker.

    Returns:
        The `Workload` and the `Cluster`, for `make_plan`.

    Raises:
        FileNotFoundError: There is no such file, or the folder is not that of a finished run.
        ValueError: A key is missing or unknown.

    Example:

    >>> text = '{"model": {"lookups": [{"name": "user_id", "rows": 1000, "dim": 8}]}}'
    >>> _ = (folder / "plan.json").write_text(text)
    >>> model, cluster = read_plan(folder / "plan.json")
    >>> model.lookups[0].rows, cluster.workers
    (1000, 1)
    """
    path = Path(path)
    if path.is_dir():
        tasks = len(load_metrics(path)["tasks"])
        return Workload.of_run(load_schema(path), load_config(path), tasks), Cluster()
    document = Document.read(path)
    with document.errors():
        planned: _Planned = structure(document.values, _Planned)
    return planned.model, planned.cluster


@dataclasses.dataclass(frozen=True)
class _Planned:
    """What a file says."""

    model: Workload
    cluster: Cluster = dataclasses.field(default_factory=Cluster)


def to_text(plan: Plan) -> str:
    """Returns a plan as a readable table."""
    tables, total = plan.parameters[sizes.TABLES], sum(plan.parameters.values())
    lines = [
        *_section("parameters", _with_sum(plan.parameters)),
        *_section("optimizer's slots", _with_sum(plan.slot_bytes), "B"),
        *_section("multiply-adds per row", _with_sum(plan.multiplications)),
        *_section("memory", plan.memory, "B"),
        *_section("step", plan.step),
        *_section("request", plan.request),
        *_section("least time of a step", plan.seconds, "s"),
        "memory needed of what there is",
        *(f"  {name:<22}{share:>11.0%}{'  too much' * (share > 1)}" for name, share in plan.full.items()),
        f"slowest: {plan.slowest}; share of tables in all parameters: {tables / total:.2%}",
    ]
    return "\n".join(lines)


def _with_sum(values: Mapping[str, int]) -> dict[str, int]:
    return {**values, "all": sum(values.values())}


def _section(title: str, values: Mapping[str, float], unit: str = "") -> list[str]:
    return [title, *(f"  {name:<22}{_amount(value, unit):>12}" for name, value in values.items())]


def _amount(value: float, unit: str) -> str:
    """Formats a number with three digits and a prefix."""
    steps = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"), (1e-6, "µ")]
    size, prefix = next(((s, p) for s, p in steps if value >= s), (1e-9, "n") if value else (1, ""))
    return f"{value / size:.3g} {prefix}{unit}".rstrip()
