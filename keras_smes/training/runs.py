"""A run's folder: `model.keras`, `config.json`, `metrics.json`, and `rows.jsonl`, some test rows."""

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_smes.data import load, split_with_statistics
from keras_smes.training.config import RunConfig
from keras_smes.training.evaluate import evaluate
from keras_smes.training.fit import fit_ranker

MODEL, CONFIG, METRICS, ROWS = "model.keras", "config.json", "metrics.json", "rows.jsonl"
SAMPLE = 8


def train_run(
    config: RunConfig, out: str | Path, data_dir: str | Path | None = None, verbose: int | str = "auto"
) -> dict[str, Any]:
    """Trains on the earlier rows of a data set, evaluates on the later ones, and writes a run.

    Args:
        config: The `RunConfig`.
        out: Folder of the run; made if there is none. An earlier run in it is replaced.
        data_dir: Folder of the data set's files. Defaults to `None`.
        verbose: Keras' verbosity. Defaults to `"auto"`.

    Returns:
        What is in `metrics.json`: `split`, `tasks`, `routing`, `history` (the losses by epoch) and
        `parameters` (of `all` layers, and of the `experts` with their routers or gates).
    """
    parts = split_with_statistics(load(config.data, data_dir, **config.data_options))
    ranker, history = fit_ranker(config, parts.train, parts.test, verbose)
    metrics = {
        "split": dict(parts.description),
        **evaluate(ranker, parts.test),
        "history": history,
        "parameters": {
            "all": ranker.count_params(),
            "experts": ranker.get_layer("core").get_layer("experts").count_params(),
        },
    }
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    ranker.save(out / MODEL)
    write_json(out / CONFIG, config.to_dict())
    write_json(out / METRICS, metrics)
    write_rows(out / ROWS, parts.test.columns(), SAMPLE)
    return metrics


def load_run(run: str | Path) -> tuple[keras.Model, RunConfig]:
    """Reads the ranker and the configuration of a run.

    Raises:
        FileNotFoundError: The folder is not that of a finished run.
    """
    run = Path(run)
    for name in (CONFIG, MODEL):
        if not (run / name).is_file():
            raise FileNotFoundError(
                f"`run` must be the folder of a finished run. Received: {run} without {name}"
            )
    config = RunConfig.from_dict(json.loads((run / CONFIG).read_text()))
    return keras.models.load_model(run / MODEL, compile=False), config


def evaluate_run(
    run: str | Path,
    data_dir: str | Path | None = None,
    first: datetime.date | None = None,
    last: datetime.date | None = None,
) -> dict[str, Any]:
    """Evaluates a run on rows dated `first` to `last`, statistics frozen at the first.

    Args:
        run: Folder of the run.
        data_dir: Folder of the data set's files, the rows before `first` among them. Defaults to `None`.
        first: First date. `None`, the default, takes the test rows of the data set's usual split.
        last: Last date. Defaults to `None`, the last one present.

    Returns:
        What `metrics.json` holds: `split`, `tasks`, `routing`.
    """
    ranker, config = load_run(run)
    parts = split_with_statistics(
        load(config.data, data_dir, **config.data_options), test_from=first, test_until=last
    )
    return {"split": dict(parts.description), **evaluate(ranker, parts.test)}


def write_json(path: Path, values: Any) -> None:
    """Writes JSON values, readable by people and kept in order."""
    path.write_text(json.dumps(values, indent=2) + "\n")


def write_rows(path: Path, columns: Mapping[str, np.ndarray], count: int) -> None:
    """Writes the first rows as `keras-smes predict` reads them: one JSON object of features a line."""
    lists = {name: values[:count].tolist() for name, values in columns.items()}
    rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
