"""Hides TensorFlow's start-up messages in `keras-smes`; must be imported before TensorFlow.

`TF_CPP_MIN_LOG_LEVEL` silences TensorFlow's C++ logging, except messages that TensorFlow 2.21 writes to file
descriptor 2 during its import, before it reads the variable. The descriptor is closed during that import.
Only commands do this, unless the variable is 0; programs that import keras_smes keep the messages.
"""

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path


def is_command(argv: list[str]) -> bool:
    """Returns whether the arguments, `sys.orig_argv`, are those of `keras-smes` or `python -m keras_smes`."""
    script = next((Path(text).stem for text in argv[1:2]), "")
    return script == "keras-smes" or ("-m", "keras_smes") in itertools.pairwise(argv)


@contextlib.contextmanager
def stderr_closed() -> Iterator[None]:
    """Discards output to file descriptor 2."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


if is_command(sys.orig_argv) and os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "0":
    with stderr_closed(), contextlib.suppress(ImportError):  # optional with JAX
        import tensorflow  # noqa: F401
