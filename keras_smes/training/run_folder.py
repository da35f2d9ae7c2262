"""A run's folder: model, configuration and metrics.

`model.keras`; `schema.json`, the fitted features; `training.npz`, the optimizer state of the selected epoch,
from which the next run may continue; `config.json`; `rows.jsonl`, some test rows; `routing.csv`, the routing
by epoch of a model that has routing; `metrics.json`, written last.

During training there are also `checkpoints/` and, if enabled, `tensorboard/`. Only one process at a time
writes (`.lock`).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_smes.features.schema import FeatureSchema
from keras_smes.files import read_json, write_text
from keras_smes.training.config import RunConfig

MODEL, CONFIG, METRICS, ROWS = "model.keras", "config.json", "metrics.json", "rows.jsonl"
SCHEMA, TRAINING = "schema.json", "training.npz"
CHECKPOINTS, TENSORBOARD, ROUTING = "checkpoints", "tensorboard", "routing.csv"
# Written at the end of a training; the last one marks it as complete.
FILES = (CONFIG, MODEL, TRAINING, SCHEMA, ROWS, ROUTING, METRICS)
SAMPLE = 8


def load_run(run: str | Path) -> tuple[keras.Model, RunConfig]:
    """Reads the ranker and the configuration of a run.

    Args:
        run: Folder of the run, as `train_run` writes it.

    Returns:
        The ranker, not compiled, and the `RunConfig`.

    Raises:
        FileNotFoundError: The run is not finished, or a process was killed while it replaced the run.
    """
    config = load_config(run)
    return keras.models.load_model(Path(run) / MODEL, compile=False), config


def load_config(run: str | Path) -> RunConfig:
    """Reads the configuration of a finished run."""
    return RunConfig.from_dict(_read(run, CONFIG))


def load_metrics(run: str | Path) -> dict[str, Any]:
    """Reads `metrics.json` of a finished run."""
    metrics: dict[str, Any] = _read(run, METRICS)
    return metrics


def load_schema(run: str | Path) -> FeatureSchema:
    """Reads the fitted features of a finished run."""
    return FeatureSchema.from_config(_read(run, SCHEMA))


def _read(run: str | Path, file: str) -> Any:
    """Reads a JSON file of a run, and rejects the folder of an unfinished one."""
    for name in (CONFIG, MODEL, METRICS):
        if not (Path(run) / name).is_file():
            raise FileNotFoundError(
                f"`run` must be the folder of a finished run: train it first. Received: {run} without {name}"
            )

    return read_json(Path(run) / file)


def write_json(path: Path, values: Any) -> None:
    """Writes indented JSON."""
    write_text(path, json.dumps(values, indent=2) + "\n")


def write_rows(path: Path, columns: Mapping[str, np.ndarray], count: int) -> None:
    """Writes the first rows as `keras-smes predict` reads them: one JSON object of features per line."""
    lists = {name: values[:count].tolist() for name, values in columns.items()}
    rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
