"""Which way of execution runs: by name, or by a rule."""

import importlib
from typing import Any

import keras

from keras_smes.execution.experts import Choice, Experts

Tensor = Any

EXECUTIONS = ("auto", "dense", "grouped", "blocks")


def check_execution(execution: Any) -> str:
    """Returns `execution` if it is the name of a way of execution."""
    if execution not in EXECUTIONS:
        raise ValueError(f"`execution` must be one of {EXECUTIONS}. Received: execution={execution!r}")
    return str(execution)


def choose(num_experts: int, bound: int) -> str:
    """Picks the way of execution for `execution="auto"`.

    Args:
        num_experts: E.
        bound: Most experts that an instance executes, `M`.

    Returns:
        `"grouped"` in TensorFlow, eager or in a graph, where at least half of the experts rest;
        `"dense"` otherwise.
    """
    if keras.backend.backend() == "tensorflow" and not compiles_with_xla() and num_experts >= 2 * bound:
        return "grouped"
    return "dense"


def compiles_with_xla() -> bool:
    """Whether the surrounding `tf.function` is traced with `jit_compile=True`."""
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    from tensorflow.python.ops import control_flow_util  # TF has no public way to ask

    return bool(control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


def run(execution: str, inputs_bd: Tensor, choice: Choice, experts: Experts) -> Tensor:
    """Runs the chosen pairs the way that `execution` says; returns float32 `[B, T, out]`."""
    if execution == "auto":
        execution = choose(experts.num_experts, choice.executed_bm.shape[1])
    # Imported on use: `grouped` needs TensorFlow, and a JAX machine may have none.
    way = importlib.import_module(f"keras_smes.execution.{execution}")
    return way.run(inputs_bd, choice, experts)
