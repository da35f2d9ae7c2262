"""Capacity planning: the resources of a model on a cluster, by formulas that tests compare with measurements.

`Workload` is a model and its lookups, `Cluster` the machines. `sizes` counts parameters and memory,
`arithmetic` multiplications, `traffic` bytes between machines, `payload` bytes of a request; `plan` combines
them and finds the bottleneck.
"""

from keras_smes.planning.cluster import Cluster
from keras_smes.planning.plan import Plan, make_plan, read_plan
from keras_smes.planning.workload import Lookup, Workload

__all__ = ["Cluster", "Lookup", "Plan", "Workload", "make_plan", "read_plan"]
