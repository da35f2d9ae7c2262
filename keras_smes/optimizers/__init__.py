"""Optimizers whose step costs as much as the rows of a batch, not as the table they are looked up in."""

from keras_smes.optimizers.lazy_adam import LazyAdam
from keras_smes.optimizers.rowwise_adagrad import RowwiseAdagrad
from keras_smes.optimizers.split_optimizer import SplitOptimizer

__all__ = ["LazyAdam", "RowwiseAdagrad", "SplitOptimizer"]
