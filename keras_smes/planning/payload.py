"""Request size: the bytes of a serialised PredictRequest, field by field."""

import math

from keras_smes.planning.workload import Workload

INTEGER, NUMBER, LENGTH = 8, 4, 4  # bytes per value


def varint(value: int) -> int:
    """Bytes of a varint: seven bits each."""
    return max(1, -(-value.bit_length() // 7))


def field(length: int) -> int:
    """Bytes of a field with its tag and length."""
    return 1 + varint(length) + length


def tensor(shape: tuple[int, ...], item: int) -> int:
    """Bytes of a TensorProto with its values as one block, of `item` bytes each."""
    dims = sum(field(1 + varint(length)) for length in shape)
    return 1 + 1 + field(dims) + field(item * math.prod(shape))


def request_bytes(
    inputs: dict[str, tuple[tuple[int, ...], int]], model: str, signature: str = "serving_default"
) -> int:
    """Bytes of a PredictRequest of shapes and bytes per value, as this package's client sends them."""
    spec = field(len(model.encode())) + field(len(signature.encode()))
    entries = (field(field(len(name.encode())) + field(tensor(*own))) for name, own in inputs.items())
    return field(spec) + sum(entries)


def default_request_bytes(workload: Workload, model: str = "smes") -> int:
    """Bytes of a request for all candidates with integer ids, every feature repeated for each candidate."""
    n = workload.candidates
    inputs: dict[str, tuple[tuple[int, ...], int]] = {}
    for lookup in workload.lookups:
        inputs[lookup.name] = ((n, lookup.values) if lookup.length else (n,), INTEGER)
        if lookup.length:
            inputs[f"{lookup.name}_length"] = ((n,), LENGTH)
    inputs |= {f"number_{place:02d}": ((n,), NUMBER) for place in range(workload.numbers)}
    return request_bytes(inputs, model)
