"""`keras_smes_serving.server.embedded`."""

from keras_smes_serving.server.embedded import *  # noqa: F403
