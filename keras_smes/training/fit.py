"""Fits a ranker."""

import math
from typing import Any

import keras
import numpy as np

from keras_smes.data.interactions import Interactions
from keras_smes.ranker import build_ranker
from keras_smes.training.batches import batches, preprocess
from keras_smes.training.config import RunConfig


def fit_ranker(
    config: RunConfig,
    train: Interactions,
    validation: Interactions | None = None,
    verbose: int | str = "auto",
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Builds the ranker that `config` names and trains it.

    Args:
        config: The `RunConfig`.
        train: Rows to train on; the schema's vocabularies and moments come from them.
        validation: Rows whose loss is measured after each epoch; it decides nothing. Defaults to `None`.
        verbose: Keras' verbosity: `"auto"` or `1` shows a progress bar. Defaults to `"auto"`.

    Returns:
        The ranker, from raw columns to scores, and its losses by epoch.

    Raises:
        ValueError: A task has one class only in the training rows: there is nothing to learn.
    """
    _check_labels(train)
    keras.utils.set_random_seed(config.seed)
    columns = train.columns()
    ranker = build_ranker(
        train.schema.fit(columns),
        train.tasks,
        config.build_experts(len(train.tasks)),
        config.encoder_units,
        config.tower_units,
    )
    core = ranker.get_layer("core")
    steps = config.epochs * math.ceil(len(train) / config.batch_size)
    _compile(core, train.tasks, config.learning_rate, steps)
    history = core.fit(
        batches(preprocess(ranker, columns), train.labels(), config.batch_size, config.seed),
        validation_data=_validation(ranker, validation, config.batch_size),
        epochs=config.epochs,
        shuffle=False,  # `batches` does
        verbose=verbose,
    )
    return ranker, {name: [float(x) for x in values] for name, values in history.history.items()}


def _compile(core: keras.Model, tasks: tuple[str, ...], learning_rate: float, steps: int) -> None:
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps=steps)
    core.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss={task: keras.losses.BinaryCrossentropy() for task in tasks},
    )


def _validation(ranker: keras.Model, rows: Interactions | None, batch_size: int) -> Any:
    if rows is None:
        return None
    return batches(preprocess(ranker, rows.columns()), rows.labels(), batch_size)


def _check_labels(train: Interactions) -> None:
    for task, labels in train.labels().items():
        if len(np.unique(labels)) < 2:
            raise ValueError(
                f"Task {task!r} needs positives and negatives among the {len(train)} training rows. "
                f"Received: {int(labels.sum())} positives"
            )
