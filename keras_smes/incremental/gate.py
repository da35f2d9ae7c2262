"""Old name of `keras_smes.incremental.quality_gate`."""

from keras_smes.incremental.quality_gate import QualityGate, Verdict
from keras_smes.training.loop.selection import MetricOfTask

__all__ = ["MetricOfTask", "QualityGate", "Verdict"]
