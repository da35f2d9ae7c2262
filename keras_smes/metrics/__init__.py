"""What a ranker and its routing are judged by, on whole data sets. NumPy only."""

from keras_smes.metrics.ranking import GAUC, auc, gauc, log_loss
from keras_smes.metrics.routing_health import RoutingHealth

__all__ = ["GAUC", "RoutingHealth", "auc", "gauc", "log_loss"]
