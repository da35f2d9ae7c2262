"""Export to ONNX, for ONNX Runtime and Triton: converts, verifies in ONNX Runtime, publishes."""

from keras_smes.export.onnx.convert import to_onnx
from keras_smes.export.onnx.version import ExportedOnnx, export_onnx_version

__all__ = ["ExportedOnnx", "export_onnx_version", "to_onnx"]
