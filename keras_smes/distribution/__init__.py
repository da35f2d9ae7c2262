"""Engines: training steps on one device, on several devices, or on several machines.

`build_engine` builds the engine that a `DistributionConfig` or `TF_CONFIG` names. The engines use
TensorFlow's and JAX's own strategies and add the selection, the sharding of batches, and the loop that Keras'
`fit` lacks.
"""

from keras_smes.distribution.choose import build_engine
from keras_smes.distribution.cluster import Cluster
from keras_smes.distribution.config import DistributionConfig
from keras_smes.distribution.engine import Engine
from keras_smes.distribution.faults import LostProcessError
from keras_smes.distribution.sharded_embedding import ShardedEmbedding

__all__ = ["Cluster", "DistributionConfig", "Engine", "LostProcessError", "ShardedEmbedding", "build_engine"]
