"""Export: publishes a ranker as a version for TF Serving or ONNX Runtime, which run without this package."""

try:
    import keras_smes_serving  # noqa: F401
except ImportError as error:
    raise ImportError(
        'Export needs packages that are not installed: pip install "keras_smes[serving]"'
    ) from error

from keras_smes.export.audit import audit
from keras_smes.export.graph.signatures import write_saved_model
from keras_smes.export.onnx import ExportedOnnx, export_onnx_version, to_onnx
from keras_smes.export.pipeline import Exported, export_version
from keras_smes.export.publish import publish
from keras_smes.export.run import export_folders, export_run, export_run_to_onnx

__all__ = [
    "Exported",
    "ExportedOnnx",
    "audit",
    "export_folders",
    "export_onnx_version",
    "export_run",
    "export_run_to_onnx",
    "export_version",
    "publish",
    "to_onnx",
    "write_saved_model",
]
