"""Model configuration for a Triton repository: `NAME/config.pbtxt` beside `NAME/1/model.onnx`."""

from collections.abc import Iterable
from typing import Any

TYPES = {
    "tensor(int64)": "INT64",
    "tensor(int32)": "INT32",
    "tensor(float)": "FP32",
    "tensor(string)": "STRING",
}
TEMPLATE = """\
name: "{name}"
backend: "onnxruntime"
max_batch_size: {max_batch_size}
dynamic_batching {{ }}
{tensors}"""


def triton_config(name: str, max_batch_size: int, inputs: Iterable[Any], outputs: Iterable[Any]) -> str:
    """Returns the text of `config.pbtxt`, which operators may edit."""
    tensors = [_tensor("input", value) for value in inputs] + [_tensor("output", value) for value in outputs]
    return TEMPLATE.format(name=name, max_batch_size=max_batch_size, tensors="".join(tensors))


def _tensor(kind: str, value: Any) -> str:
    sizes = [size if isinstance(size, int) else -1 for size in value.shape[1:]]
    # Without its batch axis, a tensor of Triton needs a dimension, which the model's doesn't have.
    shape = f"dims: {sizes}" if sizes else "dims: [1] reshape: { shape: [ ] }"
    return f'{kind} {{ name: "{value.name}" data_type: TYPE_{TYPES[value.type]} {shape} }}\n'
