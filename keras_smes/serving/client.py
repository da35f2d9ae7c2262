"""`keras_smes_serving.client`."""

from keras_smes_serving.client import *  # noqa: F403
