"""The command line: one file per command, with its options and its function.

Commands import their optional dependencies themselves.
"""

import argparse
import errno
import logging
import os
import sys
from collections.abc import Sequence

from keras_smes.cli import (
    describe,
    evaluate,
    experiment,
    export,
    features,
    plan,
    predict,
    progressive,
    report,
    score,
    serve,
    train,
)
from keras_smes.console import complain

# In the order of `--help`.
COMMANDS = (
    describe,
    train,
    progressive,
    evaluate,
    score,
    experiment,
    plan,
    report,
    features,
    export,
    serve,
    predict,
)
MISTAKES = (ValueError, OSError, ImportError, FloatingPointError)
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: The command and its options. Defaults to `None`, those of the process.

    Returns:
        The exit code: 2 after user errors and on a full disk, which print one line on stderr; 3 for a failed
        quality gate.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    arguments = build_parser().parse_args(argv)
    try:
        code: int | None = arguments.run(arguments)
    except Exception as error:
        if not isinstance(error, MISTAKES) and not _is_of_the_disk(error):
            raise
        complain(f"keras-smes {arguments.command}: {error}")
        return 2
    return code or 0


def _is_of_the_disk(error: Exception) -> bool:
    """Returns whether TensorFlow failed to write a file, by the text of the operating system."""
    is_theirs = type(error).__module__.startswith("tensorflow.")
    return is_theirs and any(os.strerror(number) in str(error) for number in OF_THE_DISK)


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    parser = argparse.ArgumentParser(
        "keras-smes", description="Sparse mixture-of-experts for multi-task ranking."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
