"""Counts against an independent one: the operations of a traced graph, and rows that really ran."""

import math
import re

import keras
import numpy as np
import pytest
from support.backends import TENSORFLOW, evaluate, to_numpy, to_tensors

from keras_smes import SMES
from keras_smes.baselines import PLE, HoME, MMoE, NaiveSparse, SharedBottom
from keras_smes.baselines.cost import (
    executed_multiplications,
    match_multiplications,
    match_parameters,
    parameters,
)

BATCH, WIDTH = 3, 7
# Counting is the same on every backend, and JAX compiles the drawing of weights anew for each size.
many_sizes = pytest.mark.tensorflow
DENSE = {
    "shared bottom": lambda: SharedBottom(3, (5, 4)),
    "mmoe": lambda: MMoE(3, 2, (6, 5, 4)),
    "cgc": lambda: PLE(3, 2, 4, (5, 4), num_levels=1),
    "ple": lambda: PLE(3, 2, 4, (5, 4), num_levels=3),
    "home": lambda: HoME(
        3,
        [[0, 2], [1]],
        (5, 4),
        num_shared_experts=2,
        num_group_experts=3,
        num_task_experts=4,
        num_feature_gates=3,
        feature_gate_rank=2,
    ),
    "home, one expert of each": lambda: HoME(2, [[0, 1]], 4),
    # All experts are in the bound, so that the dense way runs what the bound says.
    "smes": lambda: SMES(3, 5, 2, 1, (6, 4), execution="dense"),
    "smes of low rank": lambda: SMES(3, 5, 2, 1, (6, 4), execution="dense", router_rank=2),
    "smes with experts always on": lambda: SMES(3, 5, 2, 1, (6, 4), execution="dense", num_always=2),
    "naive sparse": lambda: NaiveSparse(3, 6, 2, (6, 4), execution="dense"),
}


def built(layer):
    layer.build((None, WIDTH))
    return layer


def multiplications_of_einsum(equation, shapes):
    """One for each combination of all indices; `...` stands for leading ones."""
    sizes = {}
    for indices, shape in zip(re.split("->|,", equation)[: len(shapes)], shapes, strict=True):
        indices = indices.replace("...", "*" * (len(shape) - len(indices.replace("...", ""))))
        sizes |= dict(zip(indices, shape, strict=True))
    return math.prod(sizes.values())


def multiplications_of_graph(layer):
    """Of the matrix products that TensorFlow traced, by the shapes of their operands."""
    import tensorflow as tf

    graph = tf.function(layer).get_concrete_function(tf.TensorSpec([BATCH, WIDTH], tf.float32)).graph
    total = 0
    for op in graph.get_operations():
        shapes = [tuple(tensor.shape) for tensor in op.inputs]
        if op.type == "Einsum":
            total += multiplications_of_einsum(op.get_attr("equation").decode(), shapes)
        elif op.type in ("MatMul", "BatchMatMulV2"):
            transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
            total += math.prod(op.outputs[0].shape) * shapes[0][-2 if transposed else -1]
        else:
            assert "Mat" not in op.type or op.type == "MatrixBandPart", op.type
            assert "Call" not in op.type, "a function of its own, whose operations would be missed"
    return total


@pytest.mark.skipif(not TENSORFLOW, reason="counts the operations of a TensorFlow graph")
@pytest.mark.parametrize("name", DENSE)
def test_counts_the_matrix_products_of_the_graph(name):
    layer = built(DENSE[name]())
    assert executed_multiplications(layer) == multiplications_of_graph(layer) / BATCH


@pytest.mark.skipif(not TENSORFLOW, reason="grouped execution")
@pytest.mark.parametrize("make", [SMES, NaiveSparse])
def test_counts_the_rows_that_experts_really_ran(make):
    """The activation sees each expert's rows: rows times width in times width out are multiplications."""
    seen = []

    def spy(rows):
        if rows.shape[0] is not None:
            seen.append(tuple(rows.shape))
        return keras.ops.relu(rows)

    picks = {SMES: (1, 1), NaiveSparse: (2,)}[make]
    layer = built(make(3, 20, *picks, (6, 4), expert_activation=spy, execution="grouped"))
    h = np.random.default_rng(0).normal(size=(40, WIDTH)).astype("float32")
    layer(to_tensors(h))
    union_mean = evaluate(layer.route, h)["union"].sum(axis=1).mean()
    ran = sum(rows for rows, width in seen if width == 6) * (WIDTH * 6 + 6 * 4)
    others = WIDTH * 3 * 20 + 3 * 20 + 3 * union_mean * 4  # routers, joint score, mixtures
    assert 1 < union_mean < 6
    assert executed_multiplications(layer, union_mean) == pytest.approx(ran / 40 + others)


def test_sparse_layers_count_the_bound_where_the_union_is_not_told():
    # D 7, T 3, E 20: routers 7*3*20 + 3*20 = 480. An expert 7*6 + 6*4 = 66, a mixture 3*4 = 12. M = 4.
    assert executed_multiplications(built(SMES(3, 20, 1, 1, (6, 4)))) == 480 + 4 * (66 + 12)
    assert executed_multiplications(built(SMES(3, 20, 1, 1, (6, 4))), 2.5) == 480 + 2.5 * (66 + 12)
    # M = min(20, 1 + 0 + 3 + 1) = 5
    assert executed_multiplications(built(SMES(3, 20, 1, [0, 3, 1], (6, 4)))) == 480 + 5 * (66 + 12)


def test_the_count_does_not_grow_with_experts_that_nobody_runs():
    few, many = (executed_multiplications(built(SMES(3, e, 1, 1, (6, 4)))) for e in (20, 1020))
    assert many - few == 1000 * 3 * (WIDTH + 1), "but for routers"


def test_parameters_are_what_training_changes():
    layer = built(HoME(2, [[0, 1]], 4))
    assert parameters(layer) == sum(np.size(w) for w in to_numpy(layer.trainable_weights))
    assert parameters(layer) < layer.count_params()


@many_sizes
@pytest.mark.parametrize("target", [200, 1234, 2000])
@pytest.mark.parametrize("measure", ["parameters", "multiplications"])
def test_finds_the_nearest_width(measure, target):
    build = lambda width: MMoE(2, 3, (width, 4))  # noqa: E731
    count, match = {
        "parameters": (parameters, match_parameters),
        "multiplications": (executed_multiplications, match_multiplications),
    }[measure]
    found = match(build, target, WIDTH)
    distance = lambda width: abs(count(built(build(width))) - target)  # noqa: E731
    assert distance(found) == min(distance(width) for width in range(1, found + 20))


@many_sizes
def test_finds_the_number_of_experts_at_equal_executed_multiplications():
    smes = built(SMES(3, 64, 2, 1, (6, 4)))
    target = executed_multiplications(smes, 4.2)
    found = match_multiplications(lambda e: MMoE(3, e, (6, 4)), target, WIDTH)
    # 7*3*64 + 3*64 + 4.2 * 78 = 1863.6; an expert of MMoE takes 21 + 66 + 12 = 99: 18.8 of them.
    assert found == 19


@many_sizes
def test_finds_a_sparse_layers_size_at_its_own_union():
    build = lambda width: NaiveSparse(3, 20, 2, (width, 4))  # noqa: E731
    found = match_multiplications(build, 480 + 5.5 * (66 + 12), WIDTH, union_mean=5.5)
    assert found == 6


@pytest.mark.parametrize("value", [1.9, 5, float("nan"), -1])
def test_refuses_a_union_that_can_not_be(value):
    with pytest.raises(ValueError, match=r"`union_mean` must be in \[2, 4\]") as refusal:
        executed_multiplications(built(SMES(3, 20, 1, 1, (6, 4))), value)
    assert f"union_mean={value}" in str(refusal.value)


def test_refuses_what_has_no_count():
    with pytest.raises(ValueError, match="`union_mean` is for layers that choose"):
        executed_multiplications(built(MMoE(3, 2, 4)), 2)
    with pytest.raises(ValueError, match="`layer` must be built"):
        executed_multiplications(MMoE(3, 2, 4))
    with pytest.raises(TypeError, match=r"`layer` must be a layer of experts\. Received: Dense"):
        executed_multiplications(built(keras.layers.Dense(3)))


@many_sizes
def test_refuses_targets_out_of_reach():
    with pytest.raises(ValueError, match=r"`target` must be reached.*target=3"):
        match_parameters(lambda width: SharedBottom(2, (width, 8)), 3, WIDTH)
    with pytest.raises(ValueError, match=r"`build` must grow with its size.*target=1000"):
        match_parameters(lambda width: SharedBottom(2, 4), 1000, WIDTH)
