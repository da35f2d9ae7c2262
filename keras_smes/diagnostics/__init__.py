"""What a router does while it is trained, seen from outside: nothing of it is in the model or its export.

`RoutingMonitor` is a callback of `fit`; `RoutingProbe` runs the routers of a model alone, `events` writes for
TensorBoard and `routing_csv` for anyone. The figures are `keras_smes.metrics.RoutingHealth`.
"""

from keras_smes.diagnostics.events import Events
from keras_smes.diagnostics.probe import RoutingProbe, has_routing, sample_rows
from keras_smes.diagnostics.routing_csv import RoutingCsv, read_routing
from keras_smes.diagnostics.routing_monitor import RoutingMonitor

__all__ = [
    "Events",
    "RoutingCsv",
    "RoutingMonitor",
    "RoutingProbe",
    "has_routing",
    "read_routing",
    "sample_rows",
]
