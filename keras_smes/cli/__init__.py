"""The command line `keras-smes`: one file per command."""

from keras_smes.cli.main import main

__all__ = ["main"]
