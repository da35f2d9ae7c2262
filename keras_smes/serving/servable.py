"""`keras_smes_serving.server.runtime.servable`."""

from keras_smes_serving.server.runtime.servable import *  # noqa: F403
