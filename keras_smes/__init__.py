"""Sparse mixture-of-experts for multi-task recommendation, in Keras 3, served by TF Serving."""

from keras_smes.layers import (
    SMES,
    ExpertPool,
    GlobalBalanceRegularizer,
    PrivateExpertGate,
    SharedSubsetRouter,
)

__version__ = "0.1.0"

__all__ = ["SMES", "ExpertPool", "GlobalBalanceRegularizer", "PrivateExpertGate", "SharedSubsetRouter"]
