"""Traffic of a step: table rows, gradients, and instances that travel to experts."""

import math

from keras_smes.planning.cluster import Cluster
from keras_smes.planning.sizes import EXPERTS, FLOAT, TABLES, parameters, slot_bytes
from keras_smes.planning.workload import Workload

ID = 8  # bytes


def touched_rows(model: Workload) -> dict[str, int]:
    """Counts the rows per table that a batch looks up, at most `distinct * B * ids` or all rows."""
    ids = dict.fromkeys(model.tables, 0)
    for lookup in model.lookups:
        ids[lookup.table or lookup.name] += lookup.values
    return {
        name: min(math.ceil(model.distinct * model.batch_size * ids[name]), table.rows)
        for name, table in model.tables.items()
    }


def touched_bytes(model: Workload) -> int:
    """Counts the bytes of the rows that a batch looks up."""
    return sum(rows * model.tables[name].dim * FLOAT for name, rows in touched_rows(model).items())


def dense_gradient_bytes(model: Workload, expert_parallel: bool = False) -> int:
    """Counts the bytes of the gradients that workers reduce: not of tables, nor of sharded experts."""
    left_out = {TABLES, EXPERTS} if expert_parallel else {TABLES}
    return sum(FLOAT * count for part, count in parameters(model).items() if part not in left_out)


def all_reduce_bytes(model: Workload, cluster: Cluster) -> int:
    """Counts the bytes that a worker sends in a ring all-reduce: `2 (n - 1) / n` of its dense gradients."""
    gradients = dense_gradient_bytes(model, cluster.expert_parallel)
    return 2 * (cluster.workers - 1) * gradients // cluster.workers


def all_to_all_bytes(model: Workload, cluster: Cluster) -> int:
    """Counts the bytes that a worker sends per step to experts of other workers.

    ```
    pairs = B/n * |U| * (n - 1) / n              whose expert is elsewhere, under even load
    bytes = pairs * (D + out) * 4 * 2            h there and f(h) back; the gradients the other way
    ```

    Each pair counts: an h for two experts of one worker is sent twice.
    """
    if not cluster.expert_parallel:
        return 0
    n = cluster.workers
    pairs = model.batch_size * model.executed * (n - 1) // n**2
    return pairs * (model.encoder_units[-1] + model.expert_units[-1]) * FLOAT * 2


def table_bytes(model: Workload, cluster: Cluster) -> dict[str, int]:
    """Counts the bytes of lookups per step: rows from the servers, gradients and ids back.

    ```
    worker   (touched rows + ids) / n         in each direction
    server   (touched rows + ids) / servers   in each direction
    ```

    A worker's rows are its share of the batch's; ids that several workers look up add to this.
    """
    if not cluster.parameter_servers:
        return {"worker": 0, "server": 0}
    total = touched_bytes(model) + ID * sum(touched_rows(model).values())
    return {"worker": -(-total // cluster.workers), "server": -(-total // cluster.parameter_servers)}


def memory_bytes(model: Workload, cluster: Cluster) -> int:
    """Counts the bytes of weights, gradients and slots that a worker reads and writes per step.

    ```
    dense    read in both passes; gradient written and read; weights and slots read and written
    tables   the same of the touched rows, where the worker has them
    ```
    """
    slots = slot_bytes(model)
    moved = 0
    for part, count in parameters(model).items():
        share = cluster.workers if part == EXPERTS and cluster.expert_parallel else 1
        if part != TABLES:
            moved += (6 * FLOAT * count + 2 * slots[part]) // share
    if cluster.parameter_servers:
        return moved
    per_row = slots[TABLES] / max(FLOAT * parameters(model)[TABLES], 1)
    return moved + round((6 + 2 * per_row) * touched_bytes(model))
