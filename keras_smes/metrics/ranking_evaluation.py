"""A callback that computes exact metrics of validation rows, with their users, after each epoch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_smes.metrics.streaming import StreamingMetric


class RankingEvaluation(keras.callbacks.Callback):
    """Adds exact metrics of validation rows to an epoch's logs, as `val_{task}_{metric}`.

    A model's compiled metrics see labels and scores only; GAUC and NDCG also need users. This callback
    predicts the rows after each epoch, with any compiled or distributed model on each backend, and does not
    slow down the training step. Callbacks that follow in the list, such as `EarlyStopping`, can monitor its
    metrics, and `fit` returns them in its history.

    Args:
        features: Inputs of `model.predict`: arrays of N rows, or a data set of them in a fixed order.
        labels: Dict of labels by task, each `[N]`.
        metrics: Dict of lists of streaming metrics by task; other tasks are skipped.
        users: `[N]`, integers or strings: the user of each row. Defaults to `None`, not known.
        weights: Dict of row weights by task, each `[N]`; rows of weight 0 are ignored, with any label.
            Defaults to `None`, all 1.
        to_scores: Function from the model's outputs, such as logits, to scores. Defaults to `None`: the
            outputs are the scores. They are a dict by task, or a list if a functional model's outputs are
            named as tasks; a single output belongs to the one task in `labels`.
        batch_size: Prediction batch size, for arrays. Defaults to `4096`.

    Raises:
        ValueError: A task in `metrics` has no labels, or two metrics of one name; when measured, a task has
            no output.

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
                    "`metrics` must be of tasks with `labels`, with unique names per task. "
                    f"Received: task {task!r} with {names}, labels of {sorted(labels)}"
                )
        self.features, self.labels, self.metrics = features, labels, metrics
        self.users, self.weights = users, weights or {}
        self.to_scores, self.batch_size = to_scores, batch_size

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs.update({f"val_{name}": value for name, value in self.measure().items()})

    def measure(self) -> dict[str, float]:
        """Predicts the rows and returns the metrics as `{task}_{metric}`."""
        are_arrays = all(isinstance(leaf, np.ndarray) for leaf in keras.tree.flatten(self.features))
        batch_size = self.batch_size if are_arrays else None
        outputs = self.model.predict(self.features, batch_size=batch_size, verbose=0)
        scores = self._by_task(outputs if self.to_scores is None else self.to_scores(outputs))
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
                "The model's outputs must be named as tasks, or `to_scores` must return a dict by task. "
                f"Received: {len(listed)} outputs, named {names or sorted(found)}, none of {missing}"
            )
        return found
