"""Old name of `keras_smes.features.layers.standardize`."""

from keras_smes.features.layers.standardize import Standardize

__all__ = ["Standardize"]
