"""Health of routing without rows, and batches, states and sizes that it rejects."""

import json

import keras
import numpy as np
import pytest
from support.routing_batches import BOUND, EXPERTS, TASKS, batch, health_of, routing_of

from keras_smes.metrics import RoutingHealth


def test_the_configuration_is_whole():
    health = RoutingHealth(2, 5, 4, name="of_layer")
    config = keras.saving.serialize_keras_object(health)
    assert keras.saving.deserialize_keras_object(config).get_config() == health.get_config()


def test_without_rows_what_is_not_defined_is_none():
    result = health_of().result()
    assert result == health_of(batch(0, 0)).result()
    assert (result["rows"], result["union_bound"], result["num_experts"]) == (0, BOUND, EXPERTS)
    assert result["expert_load"] == [None] * EXPERTS
    assert result["union_sizes"] == [0] * (EXPERTS + 1)
    assert result["task_expert_share"] == [[None] * EXPERTS] * TASKS
    for name in ("load_max_over_mean", "load_cv", "load_gini", "dead_experts", "union_mean", "union_max"):
        assert result[name] is None, name
    assert result["task_overlap"] is result["router_entropy"] is None


def test_one_task_has_no_overlap():
    result = health_of(batch(0, 5, num_tasks=1), num_tasks=1).result()
    assert result["task_overlap"] is None
    assert result["task_overlap_matrix"] == [[1.0]]


@pytest.mark.parametrize("count", [0, 20])
def test_json_holds_the_result(count):
    result = health_of(batch(0, count)).result()
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize("sizes", [(0, 4, 2), (2, 0, 0), (2, 4, 0), (2, 4, 5)])
def test_sizes_that_cannot_work_are_refused(sizes):
    with pytest.raises(ValueError, match=f"num_tasks={sizes[0]}, num_experts={sizes[1]}, bound={sizes[2]}"):
        RoutingHealth(*sizes)


P, CHOSEN, UNION = batch(0, 4)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((P[:3], CHOSEN, UNION), r"\(3, 3, 8\), \(4, 3, 8\) and \(4, 8\)"),
        ((P, CHOSEN[:, :2], UNION), r"T=3, E=8.*\(4, 2, 8\)"),
        ((P, CHOSEN, UNION[:, :7]), r"\(4, 7\)"),
        ((0.5, True, True), r"\(\), \(\) and \(\)"),
        ((P, CHOSEN.astype("float32"), UNION), r"must be bool.*chosen\.dtype=float32, union\.dtype=bool"),
        ((P, CHOSEN, UNION.astype("int32")), r"union\.dtype=int32"),
    ],
)
def test_a_batch_of_a_wrong_form_is_refused_and_counts_for_nothing(arrays, message):
    health = health_of(batch(1, 6))
    with pytest.raises(ValueError, match=message):
        health.update_state(routing_of(arrays))
    assert health.result() == health_of(batch(1, 6)).result()


@pytest.mark.parametrize(
    "arrays",
    [
        (np.full_like(P, np.nan), CHOSEN, UNION),
        (-P, CHOSEN, UNION),
        (4 * P, CHOSEN, UNION),
        (P, CHOSEN, np.zeros_like(UNION)),
    ],
    ids=["nan", "negative", "above_one", "not_in_union"],
)
def test_rows_of_wrong_values_are_counted_and_refused_at_the_end(arrays):
    health = health_of(batch(1, 6), arrays)
    bad = int(health.state()["refused"])
    assert 0 < bad <= 4
    with pytest.raises(ValueError, match=f"`routing` must have .* Received: {bad} rows"):
        health.result()


def test_merging_other_sizes_is_refused():
    with pytest.raises(ValueError, match=r"\(3, 8, 5\)\. Received: \(3, 8, 4\)"):
        health_of().merge_state([RoutingHealth(TASKS, EXPERTS, 4)])
    with pytest.raises(ValueError, match=r"`state` must have the arrays .*'pairs': \(8,\)"):
        health_of().add_state({"pairs": np.zeros(8, int)})
