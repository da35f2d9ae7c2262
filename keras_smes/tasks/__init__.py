"""Tasks: their labels, the rows that count, their loss and their score.

A task is a value without weights or state, such as `BinaryTask("click")`, and is stored as JSON with a run
and in a saved ranker.
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
