"""Capacity planning: resources of a model on a cluster, by formulas that tests compare with measurements."""

from keras_smes.planning.cluster import Cluster
from keras_smes.planning.plan import Plan, make_plan, read_plan
from keras_smes.planning.workload import Lookup, Workload

__all__ = ["Cluster", "Lookup", "Plan", "Workload", "make_plan", "read_plan"]
