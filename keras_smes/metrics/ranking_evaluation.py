"""A callback that measures validation rows exactly, with their users, at the end of each epoch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_smes.metrics.streaming import StreamingMetric


class RankingEvaluation(keras.callbacks.Callback):
    """Adds exact metrics of validation rows to an epoch's logs, as `val_{task}_{metric}`.

    A model's compiled metrics see labels and scores alone. GAUC and NDCG need users besides, and exact
    metrics all rows at once: this callback predicts the rows after each epoch and gives them to the
    metrics. It works however the model is compiled or distributed, on each backend, and costs the
    training step nothing. Callbacks that follow in the list, such as `EarlyStopping`, may monitor its
    figures, and `fit` returns them in its history.

    Args:
        features: What `model.predict` takes: arrays of N rows, or a data set of them in a fixed order.
        labels: Dict of the labels by task, each `[N]`.
        metrics: Dict of lists of streaming metrics by task; other tasks are not measured.
        users: `[N]`, integers or strings: whose row it is. Defaults to `None`: the metrics need none.
        weights: Dict of the rows' weights by task, each `[N]`; a row of weight 0 doesn't count,
            whatever its label. Defaults to `None`, 1 for every row.
        to_scores: What makes scores of the model's outputs, where these are logits. Defaults to
            `None`: the outputs are the scores. They are a dict by task, or a list in which the names of a
            functional model's outputs are those of tasks; a single output is that of the one task in
            `labels`.
        batch_size: Rows a batch of prediction, for arrays. Defaults to `4096`.

    Raises:
        ValueError: A task in `metrics` has no labels; a metric's name is used twice for a task; when
            measured, the outputs don't say which are the scores of a task.

    Example:

    >>> import numpy as np
    >>> from keras_smes.metrics import GAUC, LogLoss, RankingEvaluation
    >>> model = keras.Sequential([keras.layers.Dense(1, activation="sigmoid")])
    >>> model.compile(loss="binary_crossentropy")
    >>> x, click, users = np.random.rand(8, 3), np.arange(8) % 2, np.arange(8) // 4
    >>> evaluation = RankingEvaluation(x, {"click": click}, {"click": [GAUC(), LogLoss()]}, users)
    >>> history = model.fit(x, click, callbacks=[evaluation], verbose=0).history
    >>> sorted(history)
    ['loss', 'val_click_gauc', 'val_click_log_loss']
    """

    def __init__(
        self,
        features: Any,
        labels: Mapping[str, ArrayLike],
        metrics: Mapping[str, Sequence[StreamingMetric]],
        users: ArrayLike | None = None,
        weights: Mapping[str, ArrayLike] | None = None,
        to_scores: Callable[[Any], Any] | None = None,
        batch_size: int = 4096,
    ) -> None:
        super().__init__()
        for task, of_task in metrics.items():
            names = [metric.name for metric in of_task]
            if task not in labels or len(set(names)) < len(names):
                raise ValueError(
                    "`metrics` must be of tasks with `labels`, and named once each. "
                    f"Received: task {task!r} with {names}, labels of {sorted(labels)}"
                )
        self.features, self.labels, self.metrics = features, labels, metrics
        self.users, self.weights = users, weights or {}
        self.to_scores, self.batch_size = to_scores, batch_size

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs.update({f"val_{name}": value for name, value in self.measure().items()})

    def measure(self) -> dict[str, float]:
        """Predicts the rows and returns the figures, as `{task}_{metric}`."""
        batch_size = None if _is_data_set(self.features) else self.batch_size
        outputs = self.model.predict(self.features, batch_size=batch_size, verbose=0)
        scores = outputs if self.to_scores is None else self.to_scores(outputs)
        scores = self._by_task(scores)
        figures = {}
        for task, metrics in self.metrics.items():
            for metric in metrics:
                metric.reset_state()
                metric.update_state(self.labels[task], scores[task], self.weights.get(task), self.users)
                figures[f"{task}_{metric.name}"] = metric.result()
        return figures

    def _by_task(self, scores: Any) -> Mapping[str, Any]:
        listed = list(scores) if isinstance(scores, (list, tuple)) else [scores]
        names = getattr(self.model, "output_names", None) if self.to_scores is None else None
        if isinstance(scores, Mapping):
            found = dict(scores)
        elif len(listed) == len(self.labels) == 1:
            found = dict(zip(self.labels, listed, strict=True))
        else:
            found = dict(zip(names or (), listed, strict=False))
        if missing := sorted(set(self.metrics) - set(found)):
            raise ValueError(
                "The model's outputs must be named as tasks, or `to_scores` make a dict by task of them. "
                f"Received: {len(listed)} outputs, named {names or sorted(found)}, none of {missing}"
            )
        return found


def _is_data_set(features: Any) -> bool:
    return not all(isinstance(leaf, np.ndarray) for leaf in keras.tree.flatten(features))
