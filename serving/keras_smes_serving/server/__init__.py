"""The embedded server: `main` runs its command line, `embedded` serves a model from Python."""

INSTALL_HINT = 'The server needs packages that are not installed: pip install "keras_smes_serving[server]"'
