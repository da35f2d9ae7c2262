"""Keeps TensorFlow's start-up lines off the terminal of `keras-smes`; imported before TensorFlow is.

`TF_CPP_MIN_LOG_LEVEL` silences TensorFlow's C++ logging, except what TensorFlow 2.21 writes while it is
imported, before it reads the variable. Those lines go straight to file descriptor 2, which is closed during
this one import. Only commands do this, unless the variable is set to 0; a program that imports keras_smes
keeps the lines.
"""

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path


def is_command(argv: list[str]) -> bool:
    """Whether a process's arguments, `sys.orig_argv`, are those of `keras-smes` or `python -m keras_smes`."""
    script = next((Path(text).stem for text in argv[1:2]), "")
    return script == "keras-smes" or ("-m", "keras_smes") in itertools.pairwise(argv)


@contextlib.contextmanager
def stderr_closed() -> Iterator[None]:
    """Drops what is written to file descriptor 2."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


if is_command(sys.orig_argv) and os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "0":
    with stderr_closed(), contextlib.suppress(ImportError):  # a JAX machine may have none
        import tensorflow  # noqa: F401
