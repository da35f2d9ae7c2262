"""The validation rows, looked at after each epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_smes.data.interactions import Interactions
from keras_smes.distribution import Engine
from keras_smes.tasks import Task
from keras_smes.training.batches import Arrays, preprocess
from keras_smes.training.choice import Figures
from keras_smes.training.evaluate import evaluate, score
from keras_smes.training.model import MultiTaskModel


class Validation:
    """Measures a model that is being trained on rows that it isn't trained on.

    Args:
        ranker: The ranker whose core is trained.
        model: The `MultiTaskModel` that trains it.
        rows: The rows.
        with_figures: Whether to rank them too, as `evaluate` does: it takes longer than their losses.
        verbose: `1` shows a progress bar of the preprocessing. Defaults to `0`.
        engine: The `Engine` that trains the model, or `None`, the default, one device.
    """

    def __init__(
        self,
        ranker: keras.Model,
        model: MultiTaskModel,
        rows: Interactions,
        with_figures: bool,
        verbose: int = 0,
        engine: Engine | None = None,
    ) -> None:
        self.engine = engine or Engine()
        self.ranker, self.model, self.rows, self.with_figures = ranker, model, rows, with_figures
        self.features = preprocess(ranker, rows.columns(), verbose)
        self.targets, self.counted = labelled(model.task_losses.tasks, rows)

    @property
    def parts(self) -> tuple[Arrays, Arrays, Arrays]:
        """What the figures depend on, beside the model."""
        return self.features, self.targets, self.counted

    def __call__(self) -> tuple[dict[str, float], Figures]:
        """Returns the losses for the history, each over all rows at once, and the figures of each task.

        `val_loss` is the joint loss of the tasks; the layers' own, such as the balance loss, are not in it.
        """
        core = self.ranker.get_layer("core")
        self.engine.hand_over(self.model.core, core)
        logits = score(core, self.features, self.engine)
        losses = self.model.task_losses(self.targets, logits, self.counted)
        weighted = {task.name: task.weight * losses[task.name] for task in self.model.task_losses.tasks}
        total = self.model.joint.total(weighted, training=False)
        named: Mapping[str, Any] = {"val_loss": total, **{f"val_{t}_loss": x for t, x in losses.items()}}
        figures: Figures = evaluate(self.ranker, self.rows, self.engine)["tasks"] if self.with_figures else {}
        return {name: float(value) for name, value in named.items()}, figures


def labelled(
    tasks: Sequence[Task], rows: Interactions
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns what the losses take, by task: targets without NaN, and the weights of the rows that count."""
    labels, weights_n = rows.labels(), rows.weights()
    targets = {task.name: task.targets(labels) for task in tasks}
    return targets, {task.name: task.counted(labels) * weights_n for task in tasks}
