"""Joins the tensors of several requests into a batch, and splits its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import grpc
import numpy as np

from keras_smes_serving.protocol.errors import ServingError, reject
from keras_smes_serving.server.runtime.session import Array

Inputs = Mapping[str, Array]


def row_count(inputs: Inputs) -> int:
    """Returns the number of rows of a request.

    Raises:
        ServingError: INVALID_ARGUMENT: there are no inputs, one is a scalar, or their sizes differ.
    """
    if not inputs:
        reject("Batching Run() must have at least one input tensor")
    sizes = []
    for value in inputs.values():
        if np.ndim(value) == 0:
            reject("Batching Run() input tensors must have at least one dimension")
        sizes.append(len(value))
    if len(set(sizes)) > 1:
        reject("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes[0]


def merged(parts: Sequence[Inputs], padding: int, pads: bool) -> dict[str, Array]:
    """Concatenates the inputs of several requests.

    Args:
        parts: sequence of mapping of str to ndarray. The inputs of each request.
        padding: int. Number of copies of the last request's first row to append.
        pads: bool. Whether inputs of different lengths are padded to the longest, each with its first value.

    Raises:
        ServingError: FAILED_PRECONDITION: lengths differ and aren't padded.
    """
    if len(parts) == 1 and not padding:
        return dict(parts[0])
    whole = {}
    for name in parts[0]:
        tensors = [part[name] for part in parts]
        if pads:
            tensors = _padded(tensors)
        elif len({tensor.shape[1:] for tensor in tensors}) > 1:
            _fail(
                f"Tensors with name '{name}' from different tasks have different shapes and padding is "
                "turned off. Set pad_variable_length_inputs to true, or ensure that all tensors with the "
                "same name have equal dimensions starting with the first dim."
            )
        whole[name] = np.concatenate([*tensors, *[tensors[-1][:1]] * padding])
    return whole


def split(outputs: Sequence[Array], sizes: Sequence[int], total: int) -> list[list[Array]]:
    """Splits the outputs of a batch of `total` rows, padding included, by the sizes of its requests.

    Raises:
        ServingError: FAILED_PRECONDITION: an output has another number of rows.
    """
    for output in outputs:
        if output.ndim == 0:
            _fail("Batched output tensor has 0 dimensions")
        if len(output) != total:
            _fail(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of "
                "the input tensors"
            )
    ends = np.cumsum(sizes)
    return [[output[end - size : end] for output in outputs] for size, end in zip(sizes, ends, strict=True)]


def joined(pieces: Sequence[Sequence[Array]]) -> list[Array]:
    """Concatenates the outputs of a split request."""
    if len(pieces) == 1:
        return list(pieces[0])
    return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]


def _padded(tensors: Sequence[Array]) -> list[Array]:
    ranks = {tensor.ndim for tensor in tensors}
    if len(ranks) > 1:
        reject("Tensors with the same name must have the same rank")
    longest = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
    return [_padded_to(tensor, longest) for tensor in tensors]


def _padded_to(tensor: Array, sizes: Sequence[int]) -> Array:
    if list(tensor.shape[1:]) == list(sizes):
        return tensor
    if tensor.size < 1:
        reject("Got empty tensor in batch of non-empty tensors.")
    # TensorFlow Serving pads with the first value, not with zero.
    whole = np.full((len(tensor), *sizes), tensor.ravel()[0], tensor.dtype)
    whole[tuple(slice(size) for size in tensor.shape)] = tensor
    return whole


def _fail(message: str) -> NoReturn:
    raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, message)
