"""Sizes: parameters, multiply-adds, optimizer slots, and memory by machine."""

import itertools
from collections.abc import Sequence

from keras_smes.planning.cluster import Cluster
from keras_smes.planning.workload import ROW_SLOTS, SLOTS, Workload

FLOAT = 4  # bytes
TABLES, EXPERTS = "tables", "experts"


def mlp(width: int, units: Sequence[int]) -> int:
    """Parameters of dense layers: `sum (in + 1) * out`."""
    return sum((a + 1) * b for a, b in itertools.pairwise([width, *units]))


def products(width: int, units: Sequence[int]) -> int:
    """Multiplications per instance of dense layers: `sum in * out`."""
    return sum(a * b for a, b in itertools.pairwise([width, *units]))


def parameters(model: Workload) -> dict[str, int]:
    """Counts the parameters by part.

    ```
    tables   sum over tables of rows * dim
    encoder  sum (in + 1) * out
    routers  D * T * E
    experts  E * sum (in + 1) * out
    towers   T * sum (in + 1) * out
    ```
    """
    d, out = model.encoder_units[-1], model.expert_units[-1]
    return {
        TABLES: sum(table.rows * table.dim for table in model.tables.values()),
        "encoder": mlp(model.width, model.encoder_units),
        "routers": d * model.tasks * model.num_experts,
        EXPERTS: model.num_experts * mlp(d, model.expert_units),
        "towers": model.tasks * mlp(out, [*model.tower_units, 1]),
    }


def multiplications(model: Workload) -> dict[str, int]:
    """Counts the multiplications per instance of a forward pass, by part, at the bound |U| of experts.

    ```
    encoder   sum in * out
    routers   (D + 1) T E                 with the joint score
    experts   |U| * sum in * out
    mixtures  |U| T out
    towers    T * sum in * out
    ```
    """
    d, out = model.encoder_units[-1], model.expert_units[-1]
    return {
        "encoder": products(model.width, model.encoder_units),
        "routers": (d + 1) * model.tasks * model.num_experts,
        "experts": model.executed * products(d, model.expert_units),
        "mixtures": model.executed * model.tasks * out,
        "towers": model.tasks * products(out, [*model.tower_units, 1]),
    }


def slot_bytes(model: Workload) -> dict[str, int]:
    """Counts the bytes of the optimizer's slots by part, without a few counters.

    ```
    tables   lazy_adam: 2 * rows * dim floats; rowwise_adagrad: rows floats; sgd: none
    others   adam, adamw: 2 a parameter; adagrad: 1; sgd: none
    ```
    """
    sizes = {part: SLOTS[model.optimizer] * count * FLOAT for part, count in parameters(model).items()}
    a_number, a_row = ROW_SLOTS[model.embedding_optimizer]
    slots = sum(table.rows * (a_number * table.dim + a_row) for table in model.tables.values())
    return {**sizes, TABLES: FLOAT * slots}


def kept_bytes(model: Workload, cluster: Cluster) -> dict[str, int]:
    """Counts the bytes of weights, slots and dense gradients on a machine of each kind, rounded up.

    ```
    server   (tables + their slots) / servers
    worker   dense weights, slots and gradients; of the experts 1/n if they are spread; all tables if
             there are no servers
    serving  the weights
    ```
    """
    weights = {part: FLOAT * count for part, count in parameters(model).items()}
    slots = slot_bytes(model)
    tables = weights[TABLES] + slots[TABLES]
    worker = 0 if cluster.parameter_servers else tables
    for part in weights.keys() - {TABLES}:
        share = cluster.workers if part == EXPERTS and cluster.expert_parallel else 1
        worker += -(-(2 * weights[part] + slots[part]) // share)
    server = -(-tables // cluster.parameter_servers) if cluster.parameter_servers else 0
    return {"server": server, "worker": worker, "serving": sum(weights.values())}


def activation_bytes(model: Workload, cluster: Cluster) -> int:
    """Estimates a worker's activations for the backward pass: each layer's output once.

    ```
    B/n * 4 * (width + encoder + 2 T E + |U| (D + expert layers) + T (out + tower layers))
    ```

    No test compares it with a measurement: a compiler may recompute activations or store them twice.
    """
    d, out = model.encoder_units[-1], model.expert_units[-1]
    encoder = model.width + sum(model.encoder_units) + 2 * model.tasks * model.num_experts
    experts = model.executed * (d + sum(model.expert_units))
    towers = model.tasks * (out + sum(model.tower_units) + 1)
    return -(-model.batch_size // cluster.workers) * FLOAT * (encoder + experts + towers)
