"""Sparse mixture-of-experts for multi-task recommendation, in Keras 3, served by TF Serving."""

from keras_smes.features.schema import (
    FeatureSchema,
    HashedString,
    IntegerCategory,
    Number,
    StringCategory,
)
from keras_smes.layers import (
    SMES,
    ExpertPool,
    GlobalBalanceRegularizer,
    PrivateExpertGate,
    SharedSubsetRouter,
    TaskTower,
)
from keras_smes.ranker import build_ranker

__version__ = "0.1.0"

__all__ = [
    "SMES",
    "ExpertPool",
    "FeatureSchema",
    "GlobalBalanceRegularizer",
    "HashedString",
    "IntegerCategory",
    "Number",
    "PrivateExpertGate",
    "SharedSubsetRouter",
    "StringCategory",
    "TaskTower",
    "build_ranker",
]
