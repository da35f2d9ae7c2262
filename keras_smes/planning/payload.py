"""Request size: the bytes of a serialised PredictRequest, field by field."""

from keras_smes.planning.workload import Workload

INTEGER, NUMBER, LENGTH = (9, 8), (1, 4), (3, 4)  # TensorFlow's type number, and bytes per value


def varint(value: int) -> int:
    """Bytes of a varint: seven bits each."""
    return max(1, -(-value.bit_length() // 7))


def field(length: int) -> int:
    """Bytes of a field with its tag and length."""
    return 1 + varint(length) + length


def tensor(shape: tuple[int, ...], item: int) -> int:
    """Bytes of a TensorProto with its values as one block.

    Args:
        shape: Its shape.
        item: Bytes per value.
    """
    dims = sum(field(1 + varint(length)) for length in shape)
    content = item
    for length in shape:
        content *= length
    return 1 + 1 + field(dims) + field(content)


def request_bytes(
    inputs: dict[str, tuple[tuple[int, ...], int]], model: str, signature: str = "serving_default"
) -> int:
    """Bytes of a PredictRequest with tensors as blocks, as this package's client sends them.

    Args:
        inputs: By name, shape and bytes per value.
        model: Name of the model.
        signature: Name of the signature. Defaults to `"serving_default"`.
    """
    spec = field(len(model.encode())) + field(len(signature.encode()))
    entries = (field(field(len(name.encode())) + field(tensor(*own))) for name, own in inputs.items())
    return field(spec) + sum(entries)


def default_request_bytes(workload: Workload, model: str = "smes") -> int:
    """Bytes of a request for all candidates with integer ids, every feature repeated for each candidate.

    Args:
        workload: The `Workload`.
        model: Name of the model. Defaults to `"smes"`.
    """
    n = workload.candidates
    inputs: dict[str, tuple[tuple[int, ...], int]] = {}
    for lookup in workload.lookups:
        shape = (n, lookup.values) if lookup.length else (n,)
        inputs[lookup.name] = (shape, INTEGER[1])
        if lookup.length:
            inputs[f"{lookup.name}_length"] = ((n,), LENGTH[1])
    inputs |= {f"number_{place:02d}": ((n,), NUMBER[1]) for place in range(workload.numbers)}
    return request_bytes(inputs, model)
