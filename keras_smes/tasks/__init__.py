"""What a ranker predicts: each task's labels, which rows count for it, its loss and its score.

A task is a value without weights or state: it is written down (`BinaryTask("click")`), kept as JSON with a
run and in a saved ranker, and asked by the data (which rows count), by training (the loss) and by the ranker
(how many numbers the tower puts out, and what score they mean).
"""

from keras_smes.tasks.binary import BinaryTask
from keras_smes.tasks.config import as_tasks, task_from_config
from keras_smes.tasks.loss import TaskLoss
from keras_smes.tasks.ordinal import OrdinalTask
from keras_smes.tasks.regression import RegressionTask
from keras_smes.tasks.task import Task
from keras_smes.tasks.weighted_logistic import WeightedLogisticTask

__all__ = [
    "BinaryTask",
    "OrdinalTask",
    "RegressionTask",
    "Task",
    "TaskLoss",
    "WeightedLogisticTask",
    "as_tasks",
    "task_from_config",
]
