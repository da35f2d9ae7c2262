"""Whole multi-task layers of equal size side by side, in one process and one run.

    python benchmarks/peers.py [--json FILE]

Contestants, each from h `[B, D]` to one vector a task: torch-rechub's MMOE (left out if torch and
torch-rechub are not installed; its towers are one linear unit each, and its embedding is passed by),
Keras dense MMoE, naive sparse MoE (each task picks as many experts as SMES gives it, on its own), SMES.
`train` is forward and backward, without an optimizer.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from support.harness import machine, print_table, summary, time_together
from support.subjects import Case, compile_forward, compile_train, layer_of

from keras_smes import SMES
from keras_smes.baselines import MMoE

CASE = Case(1024, 256, (512, 256), 64, 6, 2, 1)
COLUMNS = ["layer", "pass", "parameters", "union_mean", "median_ms", "p10_ms", "p90_ms", "times_smes"]
Timed = dict[str, Callable[[], Any]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    about = machine()
    print(json.dumps(about, indent=2), flush=True)
    inputs = np.random.default_rng(0).normal(size=(CASE.batch, CASE.width)).astype("float32")
    rows = [row for kind in ("forward", "train") for row in measure(kind, inputs, arguments.repeats)]
    print_table(rows, COLUMNS)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


def measure(kind: str, inputs: np.ndarray, repeats: int) -> list[dict[str, Any]]:
    """Times one pass of all contestants."""
    facts: dict[str, dict[str, Any]] = {}
    functions: Timed = {}
    for name, layer in _keras_layers().items():
        compile_pass = {"forward": compile_forward, "train": compile_train}[kind]
        call = layer_of(layer, "grouped") if isinstance(layer, SMES) else layer
        functions[name] = compile_pass(call, layer, [_tensor(inputs)], False)
        facts[name] = {"parameters": layer.count_params(), "union_mean": _executed(layer, inputs)}
    functions |= _torch_rechub(kind, inputs, facts)
    times = {name: summary(values) for name, values in time_together(functions, repeats).items()}
    ours = times["SMES"]["median_ms"]
    return [
        {"layer": name, "pass": kind, **facts[name], **figures, "times_smes": figures["median_ms"] / ours}
        for name, figures in times.items()
    ]


def _keras_layers() -> dict[str, Any]:
    sizes = (CASE.tasks, CASE.experts)
    picks = CASE.num_shared + CASE.num_private
    layers = {
        "Keras dense MMoE": MMoE(*sizes, CASE.units),
        "naive sparse MoE": SMES(*sizes, 0, picks, CASE.units, balance_weight=0.0),
        "SMES": SMES(*sizes, CASE.num_shared, CASE.num_private, CASE.units, balance_weight=0.0),
    }
    for layer in layers.values():
        layer.build((None, CASE.width))
    return layers


def _executed(layer: Any, inputs: np.ndarray) -> float:
    if not isinstance(layer, SMES):
        return float(CASE.experts)
    return float(np.asarray(layer.route(_tensor(inputs))["union"]).sum(axis=1).mean())


def _tensor(inputs: np.ndarray) -> Any:
    import keras

    return keras.ops.convert_to_tensor(inputs)


def _torch_rechub(kind: str, inputs: np.ndarray, facts: dict[str, dict[str, Any]]) -> Timed:
    try:
        import torch
        from torch_rechub.basic.features import DenseFeature
        from torch_rechub.models.multi_task import MMOE
    except ImportError:
        print("torch-rechub is not installed: left out", flush=True)
        return {}
    features = [DenseFeature(f"h{i}") for i in range(CASE.width)]
    towers = [{"dims": []} for _ in range(CASE.tasks)]
    experts = {"dims": list(CASE.units), "activation": "relu"}
    model = MMOE(features, ["classification"] * CASE.tasks, CASE.experts, experts, towers)
    del model.embedding  # a torch module, whose place only a module may take
    model.embedding = _PassBy()
    name, rows = "torch-rechub MMOE", torch.from_numpy(inputs).requires_grad_()
    facts[name] = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "union_mean": float(CASE.experts),
    }

    def forward() -> None:
        with torch.no_grad():
            model(rows)

    def train() -> None:
        model.zero_grad()
        model(rows).sum().backward()

    model.train(kind == "train")
    return {name: forward if kind == "forward" else train}


class _PassBy:
    """Stands where the peer embeds features: h is encoded already."""

    def __call__(self, rows: Any, features: Any, squeeze_dim: bool) -> Any:
        return rows


if __name__ == "__main__":
    main()
