"""Multi-task loss balancing: weights of the losses, or surgery on their gradients.

`FixedWeights`, `UncertaintyWeights` and `DynamicWeightAverage` map a dict of losses to one, in `compute_loss`
of any model. `GradNorm` and `PCGrad` need a `train_step` with each task's gradient of the shared weights.
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
