"""Sparse mixture-of-experts for multi-task recommendation, in Keras 3, served by TF Serving."""

import keras_smes.backend.quiet_start  # noqa: F401  before TensorFlow is imported

# `keras.models.load_model` knows a class by its registration alone: what registers classes is imported here.
from keras_smes import baselines, distribution, features, layers, losses, metrics, optimizers, tasks
from keras_smes.features.schema import (
    FeatureSchema,
    HashedInteger,
    HashedString,
    IntegerCategory,
    Number,
    Sequence,
    StringCategory,
    Tags,
)
from keras_smes.layers import (
    SMES,
    ExpertPool,
    GlobalBalanceRegularizer,
    PrivateExpertGate,
    ScoreFusion,
    SharedSubsetRouter,
    TaskScores,
    TaskTower,
)
from keras_smes.ranker import build_ranker
from keras_smes.tasks import BinaryTask, OrdinalTask, RegressionTask, Task, WeightedLogisticTask

__version__ = "0.2.0"

__all__ = [
    "SMES",
    "BinaryTask",
    "ExpertPool",
    "FeatureSchema",
    "GlobalBalanceRegularizer",
    "HashedInteger",
    "HashedString",
    "IntegerCategory",
    "Number",
    "OrdinalTask",
    "PrivateExpertGate",
    "RegressionTask",
    "ScoreFusion",
    "Sequence",
    "SharedSubsetRouter",
    "StringCategory",
    "Tags",
    "Task",
    "TaskScores",
    "TaskTower",
    "WeightedLogisticTask",
    "baselines",
    "build_ranker",
    "distribution",
    "features",
    "layers",
    "losses",
    "metrics",
    "optimizers",
    "tasks",
]
