"""Router diagnostics during training, outside of the model and its export; see `RoutingMonitor`."""

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
