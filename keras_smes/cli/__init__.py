"""The command line `keras-smes`: one file per command."""

from pathlib import Path
from typing import Any

from keras_smes.cli.main import main

__all__ = ["main"]


def _read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Former place of `keras_smes_serving.client.rows_file.read_rows`, for code that reads rows from here."""
    from keras_smes_serving.client.rows_file import read_rows

    return read_rows(path)
