"""Which way `auto` takes, which ways are rejected where, and what their graphs hold."""

import itertools

import pytest
from support import ways
from support.backends import TENSORFLOW, to_tensors
from support.chosen_pairs import choice_of, experts_of, inputs_of, random_chosen, weights_of

from keras_smes import SMES, execution


def test_the_tests_know_every_way():
    assert set(ways.WAYS) == set(execution.EXECUTIONS) - {"auto"}


@pytest.mark.parametrize(
    ("sizes", "xla", "training", "expected"),
    [
        ((64, 8, 262_144), False, False, "grouped"),
        ((64, 8, 262_144), True, True, "blocks"),
        ((30, 30, 262_144), False, False, "dense"),  # all experts are chosen: 4e6 < 30 * 1.6e5
        ((12, 12, 262_144), False, False, "grouped"),
        ((12, 11, 262_144), False, False, "grouped"),
        ((12, 7, 262_144), True, False, "dense"),
        # One instance: (80 * 11 - 5 - 10 * 5) * 6,144 + 4e6 = 9.1e6 < 80 * 1.6e5, but not for larger experts.
        ((80, 5, 6_144, 1), False, False, "dense"),
        ((80, 5, 24_576, 1), False, False, "grouped"),
        ((80, 5, 24_576, 1), True, False, "blocks"),
        ((40, 5, 24_576, 1), True, True, "blocks"),
        ((20, 5, 24_576, 1), True, True, "dense"),
        ((10, 5, 24_576, 1024), True, True, "blocks"),  # 1024 * (1 - 5 / 10) * 24,576 >= 2.2e6
    ],
)
def test_auto_follows_its_rule(sizes, xla, training, expected):
    assert execution.choose(*sizes, training=training, xla=xla) == expected


@pytest.mark.tensorflow
@pytest.mark.parametrize(("jit_compile", "op"), [(False, "ParallelDynamicStitch"), (True, "StatelessWhile")])
def test_auto_sees_whether_xla_compiles(jit_compile, op):
    import tensorflow as tf

    layer = SMES(2, 40, 1, 1, (64, 64))
    layer.build((None, 64))
    rows = tf.TensorSpec([None, 64])
    traced = tf.function(layer, jit_compile=jit_compile).get_concrete_function(rows)
    assert op in {node.type for node in traced.graph.get_operations()}


def test_grouped_is_refused_where_xla_compiles():
    if TENSORFLOW:
        import tensorflow as tf

        refused = tf.function(lambda: execution.run("grouped", *few()), jit_compile=True)
    else:
        refused = lambda: execution.run("grouped", *few())  # noqa: E731
    with pytest.raises(ValueError, match=r"without XLA\. Received: execution='grouped', backend="):
        refused()


@pytest.mark.tensorflow
def test_ragged_is_rejected_where_there_is_no_jax():
    with pytest.raises(
        ValueError, match=r"needs the JAX backend of Keras: .* Received: backend='tensorflow'"
    ):
        execution.run("ragged", *few())


def few():
    choice = execution.Choice(*to_tensors(tuple(choice_of(random_chosen(1)))))
    return *to_tensors((inputs_of(7, 4),)), choice, experts_of(*weights_of(6, (4, 3)))


@pytest.mark.tensorflow
@pytest.mark.parametrize("way", ways.here())
def test_a_traced_graph_holds_ops_that_any_server_knows(way):
    """No Python op and nothing of XLA: what stock TF Serving can run."""
    import tensorflow as tf

    experts, choice = experts_of(*weights_of(6, (4, 5, 3))), choice_of(random_chosen(12))
    traced = tf.function(lambda h, *choice: execution.run(way, h, execution.Choice(*choice), experts))
    graph = traced.get_concrete_function(*to_tensors((inputs_of(7, 4), *choice))).graph.as_graph_def()
    nodes = [*graph.node, *itertools.chain(*(function.node_def for function in graph.library.function))]
    ops_used = {node.op for node in nodes}
    assert "MatMul" in ops_used or "BatchMatMulV2" in ops_used
    assert not [op for op in ops_used if "PyFunc" in op or "Xla" in op]
