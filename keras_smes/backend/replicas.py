"""Sums over the replicas of a `tf.distribute` strategy, within its `run`.

Losses under replicas follow Keras' contract: their mean over replicas is the loss of the global batch. On JAX
and without a strategy there is one replica.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import keras
from keras import ops

from keras_smes.types import Tensor

Tensors = TypeVar("Tensors")  # a tensor, or any structure of tensors


def num_replicas() -> int:
    """Returns the number of replicas that run this step together."""
    context = _context()
    return 1 if context is None else int(context.num_replicas_in_sync)


def sum_over_replicas(values: Tensors) -> Tensors:
    """Returns the sum over replicas of tensors in any structure; its gradient is the sum of the gradients."""
    context = _context()
    return values if context is None else context.all_reduce("SUM", values)


def mean_over_replicas(value: Tensor) -> Tensor:
    """Returns the mean over replicas of a tensor; no gradient flows."""
    return value if _context() is None else sum_over_replicas(value) / num_replicas()


def share_of_replica(weight: Tensor) -> Tensor:
    """Returns the weight of a replica's mean in the global mean, for a total `weight` of its rows.

    ```
    share = weight * replicas / sum over replicas of weight;      0 if that sum is 0
    ```

    It is 1 if all replicas have equal weight. The mean over replicas of `share * mean` is the global mean.
    """
    if _context() is None:
        return 1.0
    return ops.divide_no_nan(weight * num_replicas(), sum_over_replicas(weight))


def with_global_value(loss: Tensor) -> Tensor:
    """Returns a loss whose value is its mean over replicas, with this replica's own gradient."""
    if _context() is None:
        return loss
    return loss + ops.stop_gradient(mean_over_replicas(ops.stop_gradient(loss)) - loss)


@contextlib.contextmanager
def own_losses(layer: keras.layers.Layer) -> Iterator[None]:
    """Preserves this replica's added losses while replicas wait for each other within.

    Replicas in one process are traced in turns that switch at a sum, but Keras has one list of losses per
    layer for all of them: the next replica's call would clear it.
    """
    if _context() is None:
        yield
        return
    layers = [layer, *layer._get_call_context().entry_layer._flatten_layers()]
    kept = [list(each._losses) for each in layers]
    yield
    for each, losses in zip(layers, kept, strict=True):
        each._losses[:] = losses


def add_to(variable: keras.Variable, amount: Tensor) -> None:
    """Adds to a Keras variable in one operation, so that asynchronous workers lose no updates.

    Keras reads, adds and writes in separate operations.
    """
    amount = ops.cast(amount, variable.dtype)
    if keras.backend.backend() == "tensorflow":
        variable.value.assign_add(amount)
    else:
        variable.assign_add(amount)


def run_if(condition: Tensor, act: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """Returns `act(*arguments)`, a bool equal in all replicas; false without calling it otherwise.

    Variables shared by replicas must be updated by all replicas together, so the branch is outside of them.
    """
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or not tf.distribute.has_strategy():
        return tf.cond(condition, lambda: act(*arguments), lambda: tf.constant(False))

    def across(strategy: Any, condition: Any, *arguments: Any) -> Tensor:
        def first(values: Any) -> Tensor:
            return strategy.experimental_local_results(values)[0]

        def in_each() -> Tensor:
            return first(strategy.extended.call_for_each_replica(act, args=arguments))

        return tf.cond(first(condition), in_each, lambda: tf.constant(False))

    return context.merge_call(across, args=(condition, *arguments))


def _context() -> Any:
    """The replica context if there are several replicas."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return None if context is None or context.num_replicas_in_sync == 1 else context
