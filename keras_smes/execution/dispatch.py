"""Selects the execution by name, or by a rule."""

import importlib
from typing import Any

import keras

from keras_smes.backend.litert import exports_to_litert
from keras_smes.backend.xla import is_compiled
from keras_smes.execution.experts import Choice, Experts
from keras_smes.types import Tensor

EXECUTIONS = ("auto", "dense", "grouped", "blocks", "tiles", "ragged")
UNKNOWN_BATCH = 512  # assumed batch size if it is unknown until the graph runs
READING = 10  # rows whose multiply-adds take as long as reading a weight from memory
EXPERT_OVERHEAD = 160_000  # multiply-adds in the time of the overhead of `grouped` per expert
DENSE_OVERHEAD = 4_000_000  # multiply-adds in the time of the overhead of `dense`


def check_execution(execution: Any) -> str:
    """Returns `execution` if it is a known name."""
    if execution not in EXECUTIONS:
        raise ValueError(f"`execution` must be one of {EXECUTIONS}. Received: execution={execution!r}")
    return str(execution)


def choose(
    num_experts: int,
    bound: int,
    expert_weights: int,
    batch: int | None = None,
    training: bool = False,
    xla: bool = False,
) -> str:
    """Selects the execution for `execution="auto"`.

    Sparse executions are faster if they save many multiply-adds, and slower if the overhead of E experts
    exceeds the savings. The rule was fitted to the grids `crossover` and `small` of `benchmarks/layer.py` on
    a CPU, where reading a weight from memory takes as long as multiplying it with ten rows:

    ```
    TensorFlow graph
        all   = E * (B + 10)                        rows that dense multiplies, and weights that it reads
        pairs = B * M + 10 * min(E, B * M)          the same for the chosen pairs, at most
        "grouped"  if (all - pairs) * expert_weights + 4e6 >= 1.6e5 * E
    XLA
        saved = B * (1 - M / E) * expert_weights    saved multiply-adds per expert
        forward only:    "blocks"  if E >= 2 * M
        with gradients:  "blocks"  if E >= 8 * M, or E >= 2 * M and saved >= 2.2e6
    otherwise "dense"
    ```

    No GPU has been measured: the rule is the same there, and `"tiles"` and `"ragged"` run by name only.

    Args:
        num_experts: E.
        bound: Maximum number of executed experts per instance, M.
        expert_weights: Kernel weights of one expert, its multiply-adds per instance.
        batch: Batch size B, if known when the graph is built. Defaults to `None`, 512 is assumed.
        training: Whether gradients are needed. Defaults to `False`.
        xla: Whether XLA compiles, as always with JAX. Defaults to `False`.

    Returns:
        `"dense"`, `"grouped"` or `"blocks"`.
    """
    batch = UNKNOWN_BATCH if batch is None else batch
    if xla:
        return "blocks" if _blocks_pay(num_experts, bound, expert_weights, batch, training) else "dense"
    pairs = batch * bound
    saved = num_experts * (batch + READING) - pairs - READING * min(num_experts, pairs)
    pays = saved * expert_weights + DENSE_OVERHEAD >= EXPERT_OVERHEAD * num_experts
    return "grouped" if pays else "dense"


def _blocks_pay(num_experts: int, bound: int, expert_weights: int, batch: int, training: bool) -> bool:
    saved = batch * (1 - bound / num_experts) * expert_weights
    enough = not training or saved >= 2_200_000 or num_experts >= 8 * bound
    return enough and num_experts >= 2 * bound


def run(
    execution: str, inputs_bd: Tensor, choice: Choice, experts: Experts, training: bool = False
) -> Tensor:
    """Runs the chosen pairs.

    Args:
        execution: `"auto"` or the name of an execution.
        inputs_bd: `[B, D]` floats.
        choice: The `Choice` of experts and their weights.
        experts: The `Experts`.
        training: Whether gradients are needed, for `"auto"`. Defaults to `False`.

    Returns:
        float32 `[B, T, out]`.

    Raises:
        ValueError: The execution doesn't run on this backend, under XLA, or in an export to LiteRT.
    """
    if execution == "auto":
        bound, batch = choice.executed_bm.shape[1], inputs_bd.shape[0]
        execution = choose(
            experts.num_experts, bound, experts.weights_of_one, batch, training, xla=is_compiled()
        )
    if execution == "grouped" and is_compiled():
        raise ValueError(
            "`execution` must be 'blocks' or 'auto' under XLA and on JAX: 'grouped' needs TensorFlow without "
            f"XLA. Received: execution={execution!r}, backend={keras.backend.backend()!r}"
        )
    if execution == "ragged" and keras.backend.backend() != "jax":
        raise ValueError(
            "`execution='ragged'` needs the JAX backend of Keras: use 'tiles', or 'auto'. "
            f"Received: backend={keras.backend.backend()!r}"
        )
    if execution != "dense" and exports_to_litert():
        raise ValueError(
            "LiteRT runs experts with `execution='dense'` alone: set it before the export, e.g. "
            f"`layer.experts.execution = 'dense'`. Received: execution={execution!r}"
        )
    # Imported on use: `grouped` needs TensorFlow, and a JAX machine may have none.
    way = importlib.import_module(f"keras_smes.execution.{execution}")
    return way.run(inputs_bd, choice, experts)
