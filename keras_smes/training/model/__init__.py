"""The model that Keras' `fit` trains, with its optimizer."""

from keras_smes.training.model.multi_task import MultiTaskModel

__all__ = ["MultiTaskModel"]
