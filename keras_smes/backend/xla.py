"""Who compiles what is being built: XLA, or nobody."""

import keras


def is_compiled() -> bool:
    """Whether XLA compiles what is being built: always with JAX."""
    return keras.backend.backend() != "tensorflow" or compiles_with_xla()


def compiles_with_xla() -> bool:
    """Whether the surrounding `tf.function` is traced with `jit_compile=True`."""
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    from tensorflow.python.ops import control_flow_util  # TF has no public way to ask

    return bool(control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))
