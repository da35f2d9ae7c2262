"""The command line `keras-smes`: one file per command."""

from keras_smes.cli.main import main
from keras_smes.cli.predict import _read_rows

__all__ = ["_read_rows", "main"]
