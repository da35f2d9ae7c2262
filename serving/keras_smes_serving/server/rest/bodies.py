"""The bodies of REST requests as they are sent: compressed or not."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Final

from keras_smes_serving.protocol.errors import reject

INFLATED_LIMIT: Final = 100 * 2**20
"""Bytes that a compressed body may inflate to, as in TensorFlow Serving."""

_OTHERS: Final = ("deflate", "br", "zstd", "compress")


def inflated(body: bytes, encoding: str) -> bytes:
    """Inflates a body if it is sent in gzip.

    As in TensorFlow Serving, gzip is the only compression, and names of no compression are ignored.

    Args:
        body: bytes. As it was sent.
        encoding: str. The header `Content-Encoding`; empty if there is none.

    Returns:
        bytes. The body.

    Raises:
        ServingError: INVALID_ARGUMENT: it is corrupt or cut short, inflates to more than 100 MiB, or has
            another compression.

    Example:

    ```python
    inflated(gzip.compress(b'{"instances": [1.0]}'), "gzip")
    ```
    """
    if "gzip" not in encoding.lower():
        if any(name in encoding.lower() for name in _OTHERS):
            reject(f"The body must be sent in gzip or as it is. Received: Content-Encoding: {encoding}")
        return body
    try:
        content = gzip.GzipFile(fileobj=io.BytesIO(body)).read(INFLATED_LIMIT + 1)
    except (OSError, EOFError, zlib.error) as error:
        reject(f"Failed to uncompress the gzipped body: {error}")
    if len(content) > INFLATED_LIMIT:
        reject(f"The gzipped body must inflate to at most {INFLATED_LIMIT} bytes")
    return content
