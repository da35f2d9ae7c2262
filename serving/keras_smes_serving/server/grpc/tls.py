"""TLS of the gRPC port: keys and certificates from a file, validated before the port opens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from keras_smes_serving.server import INSTALL_HINT
from keras_smes_serving.server.config_files import read_ssl_config

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificates
except ImportError as error:
    raise ImportError(INSTALL_HINT) from error


def server_credentials(path: str) -> grpc.ServerCredentials | None:
    """Returns the credentials from the file of `--ssl_config_file`; None without a file.

    gRPC only reports "failed to bind" for an invalid key or certificate.

    Raises:
        OSError: The file can't be read.
        ValueError: A key or certificate is missing, invalid, or they don't match; the message names the file
            and the field.
    """
    if not path:
        return None
    config = read_ssl_config(path)
    if not config.server_key or not config.server_cert:
        raise ValueError(f"`--ssl_config_file` must hold server_key and server_cert. Received: {path}")
    if config.client_verify and not config.custom_ca:
        raise ValueError(f"`--ssl_config_file` must hold custom_ca for client_verify. Received: {path}")
    key, certificates = config.server_key.encode(), config.server_cert.encode()
    private = _loaded(path, "server_key", lambda: load_pem_private_key(key, password=None))
    chain = _loaded(path, "server_cert", lambda: load_pem_x509_certificates(certificates))
    if chain[0].public_key() != private.public_key():
        raise ValueError(
            f"`--ssl_config_file` must hold the server_key of its server_cert. Received: {path}, whose key "
            f"isn't that of {chain[0].subject.rfc4514_string() or 'the first certificate'}"
        )
    authority = config.custom_ca.encode() or None
    if authority is not None:
        _loaded(path, "custom_ca", lambda: load_pem_x509_certificates(authority))
    return grpc.ssl_server_credentials([(key, certificates)], authority, config.client_verify)


def _loaded(path: str, field: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: the key has a password
        raise ValueError(
            f"`--ssl_config_file` must hold {field} in PEM. Received: {path}, where it can't be read: {error}"
        ) from None
