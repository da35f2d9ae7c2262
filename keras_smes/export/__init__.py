"""Export: from a ranker to a SavedModel version that TF Serving runs, without this package."""

from keras_smes.export.publish import publish
from keras_smes.export.signatures import write_saved_model

__all__ = ["publish", "write_saved_model"]
