"""Plots of training and routing: arrays in, Matplotlib axes out. Needs the extra `viz`.

Each draws on the axes given, or on those of a new figure, and returns them.
"""

try:
    import matplotlib  # noqa: F401  (imported here for one clear error if it is missing)
except ImportError as error:
    raise ImportError('keras_smes.viz needs Matplotlib: pip install "keras_smes[viz]"') from error

from keras_smes.viz.cost import cost_against_capacity
from keras_smes.viz.instance import instance_routing
from keras_smes.viz.routing import expert_load, load_by_epoch, task_expert_heatmap, task_overlap, union_sizes
from keras_smes.viz.scores import calibration_curves
from keras_smes.viz.training import training_curves

__all__ = [
    "calibration_curves",
    "cost_against_capacity",
    "expert_load",
    "instance_routing",
    "load_by_epoch",
    "task_expert_heatmap",
    "task_overlap",
    "training_curves",
    "union_sizes",
]
