"""Sparse updates of embedding tables, at the cost of a batch's rows, and Adam in one pass."""

from keras_smes.optimizers.delayed_schedule import Later
from keras_smes.optimizers.fused_adam import FusedAdam
from keras_smes.optimizers.lazy_adam import LazyAdam
from keras_smes.optimizers.rowwise_adagrad import RowwiseAdagrad
from keras_smes.optimizers.split_optimizer import SplitOptimizer

__all__ = ["FusedAdam", "Later", "LazyAdam", "RowwiseAdagrad", "SplitOptimizer"]
