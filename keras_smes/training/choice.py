"""Old name of `keras_smes.training.loop.selection`."""

from keras_smes.training.loop.selection import Best, EarlyStopping, MetricOfTask

__all__ = ["Best", "EarlyStopping", "MetricOfTask"]
