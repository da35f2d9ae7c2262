"""Disables XLA compilation, as TensorFlow Serving does at its start."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

import tensorflow as tf

_LIBRARY: Final = "libtensorflow_cc.so.2"
_SYMBOL: Final = "_ZN10tensorflow21DisableXlaCompilationEv"


def disable_xla() -> bool:
    """Makes graphs that compile with XLA fail, permanently for the whole process.

    TensorFlow Serving does so by default: a model that needs XLA loads, and its first request fails with
    INTERNAL, `XLA compilation disabled`. Returns whether it succeeded: the function isn't part of
    TensorFlow's public API, and its library has other names on some platforms.
    """
    path = Path(tf.sysconfig.get_lib()) / _LIBRARY
    try:
        function = getattr(ctypes.CDLL(str(path)), _SYMBOL)
    except (AttributeError, OSError):
        return False
    function.restype = None
    function()
    return True
