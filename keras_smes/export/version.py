"""Old name of `keras_smes.export.pipeline`."""

from keras_smes.export.pipeline import Exported, export_version

__all__ = ["Exported", "export_version"]
