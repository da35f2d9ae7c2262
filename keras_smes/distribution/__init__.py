"""Engines: how a model's steps are run, on one device, several, or several machines.

`build_engine` makes the one that a `DistributionConfig` or `TF_CONFIG` names. Each is TensorFlow's or JAX's
own: what stands here is the choice, the cut of batches, and the loop that Keras' `fit` doesn't have for them.
"""

from keras_smes.distribution.choose import build_engine
from keras_smes.distribution.cluster import Cluster
from keras_smes.distribution.config import DistributionConfig
from keras_smes.distribution.engine import Engine
from keras_smes.distribution.faults import LostProcessError

__all__ = ["Cluster", "DistributionConfig", "Engine", "LostProcessError", "build_engine"]
