"""The old names of `keras_smes_serving`, for a release: client, server, servable and session."""

import warnings

warnings.warn(
    "keras_smes.serving is called keras_smes_serving now",
    DeprecationWarning,
    stacklevel=2,
)
