"""Execution: how chosen (instance, expert) pairs are run. It knows no router and no task.

Every way of execution is a module with one function `run(inputs_bd, choice, experts)`, equal to
`dense` in values and gradients. `choose` says which of them runs.
"""

from keras_smes.execution.dispatch import EXECUTIONS, choose, run
from keras_smes.execution.experts import Choice, ExpertLayer, Experts

__all__ = ["EXECUTIONS", "Choice", "ExpertLayer", "Experts", "choose", "run"]
