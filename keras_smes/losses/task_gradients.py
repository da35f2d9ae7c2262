"""Gradients of each task's loss by the shared weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_smes.types import Tensor


def task_gradients(
    tape: Any, losses: Mapping[str, Tensor], variables: Sequence[Any]
) -> dict[str, list[Tensor]]:
    """Returns the gradients of each task's loss by some variables, as `GradNorm` and `PCGrad` take them.

    Args:
        tape: The `tf.GradientTape(persistent=True)` that recorded the losses.
        losses: Dict of scalars, one per task.
        variables: Keras variables that the tasks share.

    Returns:
        A dict from a task to one dense tensor per variable: zeros where its loss doesn't depend on it.

    Raises:
        NotImplementedError: The backend is not TensorFlow: use its own functions, such as `jax.grad`.

    Example:

    >>> weight = keras.Variable([1.0, 2.0])
    >>> with tf.GradientTape(persistent=True) as tape:
    ...     losses = {"sum": tf.reduce_sum(weight), "square": tf.reduce_sum(weight**2)}
    >>> gradients = task_gradients(tape, losses, [weight])
    >>> gradients["square"][0].numpy()
    array([2., 4.], dtype=float32)
    """
    if keras.backend.backend() != "tensorflow":
        raise NotImplementedError(
            "`task_gradients` needs the TensorFlow backend; on others, use their own functions, such as "
            f"`jax.grad`. Received: backend {keras.backend.backend()!r}"
        )
    import tensorflow as tf

    native = [variable.value if isinstance(variable, keras.Variable) else variable for variable in variables]
    zero = tf.UnconnectedGradients.ZERO
    return {
        task: [tf.convert_to_tensor(g) for g in tape.gradient(loss, native, unconnected_gradients=zero)]
        for task, loss in losses.items()
    }
