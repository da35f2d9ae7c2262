"""Whether Keras writes a LiteRT file: the stack alone shows it, as its exporter traces like any other."""

import inspect

import keras


def exports_to_litert() -> bool:
    """Whether what is being built goes into a LiteRT file by `model.export(format="litert")`."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    try:
        from keras.src.export.litert import LiteRTExporter
    except ImportError:  # a Keras without it
        return False
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not LiteRTExporter.export.__code__:
        frame = frame.f_back
    return frame is not None
