"""Sparse mixture-of-experts for multi-task recommendation, in Keras 3, served by TF Serving."""

from typing import TYPE_CHECKING

from keras_smes.lazy import import_after, import_on_use

if TYPE_CHECKING:
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

__version__ = "0.1.0"

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
    "build_ranker",
]

# The modules that have these names, and the classes that saved models name. They need Keras: whoever
# only wants `keras_smes.serving.client` doesn't wait for it.
_MODULES = ("keras_smes.features.schema", "keras_smes.layers", "keras_smes.ranker", "keras_smes.tasks")
__getattr__, __dir__ = import_on_use(__name__, __all__, _MODULES)
import_after("keras", __name__, _MODULES)
