"""Decompresses the bodies of REST requests."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Final

from keras_smes_serving.protocol.errors import reject

INFLATED_LIMIT: Final = 100 * 2**20
"""Maximum size of a decompressed body, as in TensorFlow Serving."""

_OTHERS: Final = ("deflate", "br", "zstd", "compress")


def inflated(body: bytes, encoding: str) -> bytes:
    """Decompresses a body if its header `Content-Encoding` names gzip, the only supported compression.

    Raises:
        ServingError: INVALID_ARGUMENT: it is corrupt or truncated, decompresses to more than 100 MiB, or has
            another compression.
    """
    if "gzip" not in encoding.lower():
        if any(name in encoding.lower() for name in _OTHERS):
            reject(f"The body must be gzipped or uncompressed. Received: Content-Encoding: {encoding}")
        return body
    try:
        content = gzip.GzipFile(fileobj=io.BytesIO(body)).read(INFLATED_LIMIT + 1)
    except (OSError, EOFError, zlib.error) as error:
        reject(f"Failed to uncompress the gzipped body: {error}")
    if len(content) > INFLATED_LIMIT:
        reject(f"The gzipped body must inflate to at most {INFLATED_LIMIT} bytes")
    return content
