"""Keras layers: weights and wiring. `routing` and `balance` hold the formulas, `execution` runs experts."""

from keras_smes.layers.expert_pool import ExpertPool
from keras_smes.layers.global_balance_regularizer import GlobalBalanceRegularizer
from keras_smes.layers.private_expert_gate import PrivateExpertGate
from keras_smes.layers.score_fusion import ScoreFusion
from keras_smes.layers.shared_subset_router import SharedSubsetRouter
from keras_smes.layers.smes import SMES
from keras_smes.layers.task_scores import TaskScores
from keras_smes.layers.task_tower import TaskTower

__all__ = [
    "SMES",
    "ExpertPool",
    "GlobalBalanceRegularizer",
    "PrivateExpertGate",
    "ScoreFusion",
    "SharedSubsetRouter",
    "TaskScores",
    "TaskTower",
]
