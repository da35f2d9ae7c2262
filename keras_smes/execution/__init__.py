"""Execution of chosen (instance, expert) pairs, without knowledge of routers or tasks.

Each execution is a module with one function `run(inputs_bd, choice, experts)`, equal to `dense` in values and
gradients. `choose` selects one.
"""

from keras_smes.execution.dispatch import EXECUTIONS, choose, run
from keras_smes.execution.experts import Choice, ExpertLayer, Experts

__all__ = ["EXECUTIONS", "Choice", "ExpertLayer", "Experts", "choose", "run"]
