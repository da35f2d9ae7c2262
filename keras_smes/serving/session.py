"""`keras_smes_serving.server.runtime.session`."""

from keras_smes_serving.server.runtime.session import *  # noqa: F403
