"""What a ranker predicts: each task's labels, the rows that count for it, its loss and its score.

A task is a value without weights or state, such as `BinaryTask("click")`, and is stored as JSON with a run
and in a saved ranker. The data take from it which rows count, training takes the loss, and the ranker takes
the width of the tower and the score.
"""

from keras_smes.tasks.binary import BinaryTask
from keras_smes.tasks.loss import TaskLoss
from keras_smes.tasks.ordinal import OrdinalTask
from keras_smes.tasks.registry import register_kind, task_from_config
from keras_smes.tasks.regression import RegressionTask
from keras_smes.tasks.task import Task
from keras_smes.tasks.task_list import as_tasks
from keras_smes.tasks.weighted_logistic import WeightedLogisticTask

__all__ = [
    "BinaryTask",
    "OrdinalTask",
    "RegressionTask",
    "Task",
    "TaskLoss",
    "WeightedLogisticTask",
    "as_tasks",
    "register_kind",
    "task_from_config",
]
