"""How the losses of many tasks become one step: weights for the losses, or a change to their gradients.

`FixedWeights`, `UncertaintyWeights` and `DynamicWeightAverage` are layers from a dict of losses to one:
they work with automatic gradients, in `compute_loss` of any model. `GradNorm` and `PCGrad` look at each
task's gradient of the weights that tasks share: they need a `train_step` that computes those, see
`task_gradients`.
"""

from keras_smes.losses.dynamic_weight_average import DynamicWeightAverage
from keras_smes.losses.fixed_weights import FixedWeights
from keras_smes.losses.grad_norm import GradNorm
from keras_smes.losses.pc_grad import PCGrad
from keras_smes.losses.task_gradients import task_gradients
from keras_smes.losses.uncertainty_weights import UncertaintyWeights

__all__ = [
    "DynamicWeightAverage",
    "FixedWeights",
    "GradNorm",
    "PCGrad",
    "UncertaintyWeights",
    "task_gradients",
]
