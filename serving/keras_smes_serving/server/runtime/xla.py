"""The switch that TensorFlow Serving throws at its start: no graph may compile with XLA."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

import tensorflow as tf

_LIBRARY: Final = "libtensorflow_cc.so.2"
_SYMBOL: Final = "_ZN10tensorflow21DisableXlaCompilationEv"


def disable_xla() -> bool:
    """Makes graphs that compile with XLA fail, for the whole process and for good.

    TensorFlow Serving does so unless it is told otherwise: a model that needs XLA loads, and fails
    at its first request with INTERNAL, `XLA compilation disabled`. Better seen here than there.

    Returns:
        bool. Whether it could be done: the function isn't part of TensorFlow's public API, and the
        library that holds it isn't called the same on every platform.

    Example:

    ```python
    disable_xla()
    ```
    """
    path = Path(tf.sysconfig.get_lib()) / _LIBRARY
    try:
        function = getattr(ctypes.CDLL(str(path)), _SYMBOL)
    except (AttributeError, OSError):
        return False
    function.restype = None
    function()
    return True
