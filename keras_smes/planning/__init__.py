"""On paper: what a model takes on a cluster, by formulas that tests hold against what is measured.

`Workload` is a model and its look-ups, `Cluster` the machines. `sizes` counts what is kept, `arithmetic` what
is computed, `traffic` what crosses links, `payload` what a request weighs; `plan` puts them together and says
what is full first.
"""

from keras_smes.planning.cluster import Cluster
from keras_smes.planning.plan import Plan, make_plan, read_plan
from keras_smes.planning.workload import Lookup, Workload

__all__ = ["Cluster", "Lookup", "Plan", "Workload", "make_plan", "read_plan"]
