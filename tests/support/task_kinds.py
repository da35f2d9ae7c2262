"""One task of each kind, on the same labels: each test of what all kinds owe their users takes them all."""

import numpy as np

from keras_smes.tasks import BinaryTask, OrdinalTask, RegressionTask, WeightedLogisticTask

# Row 0 lacks the labels, row 3 the condition, and in row 4 that is unknown: rows 1, 2 and 5 count.
LABELS = {
    "buy": np.array([np.nan, 1, 0, 1, 0, 1]),
    "seconds": np.array([np.nan, 12.5, 0, 3, 7, 40]),
    "stars": np.array([np.nan, 1, 5, 3, 2, 4]),
    "click": np.array([1, 1, 1, 0, np.nan, 1]),
}
COUNTED = [0, 1, 1, 0, 0, 1]
KINDS = {
    "binary": BinaryTask("buy", condition="click"),
    "regression": RegressionTask("watch", label="seconds", condition="click", mean=1.5, std=0.5),
    "huber": RegressionTask("watch", label="seconds", condition="click", transform="identity", huber=2.0),
    "weighted_logistic": WeightedLogisticTask("watch", label="seconds", condition="click", unit=10.0),
    "every_row_negative": WeightedLogisticTask("watch", "seconds", condition="click", negatives="all"),
    "ordinal": OrdinalTask("stars", condition="click", thresholds=(2, 3, 4, 5), values=(1, 2, 3, 4, 5)),
    "one_threshold": OrdinalTask("stars", condition="click", thresholds=(3,)),
}


def logits_of(task, rows, scale=1.0, seed=0):
    """Numbers as a tower puts them out: `[rows]`, or `[rows, width]`."""
    shape = (rows,) if task.width == 1 else (rows, task.width)
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype("float32")
