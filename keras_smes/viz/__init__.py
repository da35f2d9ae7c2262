"""Figures of training and routing: arrays in, Matplotlib axes out. Needs the extra `viz`."""

try:
    import matplotlib  # noqa: F401  (asked for here, so that its absence is named once and clearly)
except ImportError as error:
    raise ImportError('keras_smes.viz needs Matplotlib: pip install "keras_smes[viz]"') from error

from keras_smes.viz.routing import expert_load, task_expert_heatmap, union_sizes
from keras_smes.viz.training import training_curves

__all__ = ["expert_load", "task_expert_heatmap", "training_curves", "union_sizes"]
