"""Selects the way of execution: by name, or by a rule."""

import importlib
from typing import Any

import keras

from keras_smes.backend.litert import exports_to_litert
from keras_smes.backend.xla import is_compiled
from keras_smes.execution.experts import Choice, Experts
from keras_smes.types import Tensor

EXECUTIONS = ("auto", "dense", "grouped", "blocks", "tiles", "ragged")
UNKNOWN_BATCH = 512  # assumed size of a batch that is known only when the graph runs
READING = 10  # rows for which a weight is multiplied in the time that reading it from memory takes
EXPERT_OVERHEAD = 160_000  # multiplications in the time that `grouped` takes to handle one expert
DENSE_OVERHEAD = 4_000_000  # the same for what `dense` handles beside its multiplications


def check_execution(execution: Any) -> str:
    """Returns `execution` if it is the name of a way of execution."""
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
    """Picks the way of execution for `execution="auto"`.

    Sparse ways win where they save much work, and lose where so little is left that the handling of E
    experts outweighs it. The rule was read off the grids `crossover` and `small` of `benchmarks/layer.py`, on
    a CPU, where reading a weight from memory takes as long as multiplying it with ten rows:

    ```
    TensorFlow graph
        all   = E * (B + 10)                        rows that dense multiplies, and weights that it reads
        pairs = B * M + 10 * min(E, B * M)          the same of the chosen pairs, at most
        "grouped"  if (all - pairs) * expert_weights + 4e6 >= 1.6e5 * E
    XLA
        saved = B * (1 - M / E) * expert_weights    multiplications saved, for each expert
        forward only:    "blocks"  if E >= 2 * M
        with gradients:  "blocks"  if E >= 8 * M, or E >= 2 * M and saved >= 2.2e6
    otherwise "dense"
    ```

    No GPU was timed yet: there the rule is the same, and `"tiles"` and `"ragged"` run by name alone.

    Args:
        num_experts: E.
        bound: Most experts that an instance executes, M.
        expert_weights: Weights of one expert: its multiplications for an instance.
        batch: Instances B, if known when the graph is built. Defaults to `None`, taken for 512.
        training: Whether gradients are needed. Defaults to `False`.
        xla: Whether XLA compiles, as for JAX it always does. Defaults to `False`.

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
    """Runs the chosen pairs the way that `execution` says.

    Args:
        execution: `"auto"` or the name of a way.
        inputs_bd: `[B, D]` floats.
        choice: The `Choice`: which experts run, and with what weights.
        experts: The `Experts`.
        training: Whether gradients are needed, for `"auto"`. Defaults to `False`.

    Returns:
        float32 `[B, T, out]`.
    """
    if execution == "auto":
        bound, batch = choice.executed_bm.shape[1], inputs_bd.shape[0]
        execution = choose(
            experts.num_experts, bound, experts.weights_of_one, batch, training, xla=is_compiled()
        )
    if execution == "grouped" and is_compiled():
        raise ValueError("`execution='grouped'` needs TensorFlow without XLA: use 'blocks', or 'auto'.")
    if execution == "ragged" and keras.backend.backend() != "jax":
        raise ValueError("`execution='ragged'` needs the JAX backend of Keras: use 'tiles', or 'auto'.")
    if execution != "dense" and exports_to_litert():
        raise ValueError(
            "LiteRT runs experts with `execution='dense'` alone: set it before the export, e.g. "
            f"`layer.experts.execution = 'dense'`. Received: execution={execution!r}"
        )
    # Imported on use: `grouped` needs TensorFlow, and a JAX machine may have none.
    way = importlib.import_module(f"keras_smes.execution.{execution}")
    return way.run(inputs_bd, choice, experts)
