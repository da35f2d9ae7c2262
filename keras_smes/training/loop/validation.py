"""Validation after each epoch."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_smes.data.rows import Rows
from keras_smes.distribution import Engine
from keras_smes.training.evaluate import pieces_of, task_metrics
from keras_smes.training.input.packed_rows import PackedRows
from keras_smes.training.input.packing import Arrays
from keras_smes.training.loop.selection import TaskMetrics
from keras_smes.training.model.multi_task import MultiTaskModel
from keras_smes.training.scorer import Scorer


class Validation:
    """Evaluates a model during training on held-out rows."""

    def __init__(
        self,
        ranker: keras.Model,
        model: MultiTaskModel,
        packed: PackedRows,
        rows: Rows | None,
        engine: Engine | None = None,
    ) -> None:
        self.engine = engine or Engine()
        self.ranker, self.model, self.packed, self.rows = ranker, model, packed, rows
        self._scorer = Scorer(ranker.get_layer("core"))

    def __call__(self) -> tuple[dict[str, float], TaskMetrics]:
        """Returns the losses over all rows for the history, and the metrics of each task.

        `val_loss` is the joint loss of the tasks, without the layers' own, such as the balance loss.
        """
        self.engine.hand_over(self.model.core, self.ranker.get_layer("core"))
        pieces = pieces_of(self.packed, self.engine.share)
        logits = self._scorer.score(pieces, self.packed.num_rows, self.engine)
        losses = self.model.task_losses(self._whole(1), logits, self._whole(2))
        weighted = {task.name: task.weight * losses[task.name] for task in self.model.task_losses.tasks}
        total = self.model.joint.total(weighted, training=False)
        named: Mapping[str, Any] = {"val_loss": total, **{f"val_{t}_loss": x for t, x in losses.items()}}
        metrics: TaskMetrics = {}
        if self.rows is not None:
            rows = self.rows
            known = rows.labels(), rows.user_ids(), rows.request_ids()
            metrics = task_metrics(self.ranker, logits, *known)
        return {name: float(value) for name, value in named.items()}, metrics

    def _whole(self, part: int) -> dict[str, np.ndarray]:
        chunks: Iterator[Arrays] = (parts[part] for _, parts in self.packed.chunks())
        columns = list(chunks)
        return {name: np.concatenate([own[name] for own in columns]) for name in columns[0]}
