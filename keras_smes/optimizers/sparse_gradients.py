"""Sparse gradients: reads and writes only the rows of a table that a gradient touches."""

import contextlib
from typing import Any

import keras
from keras import ops

from keras_smes.backend.xla import compiles_with_xla
from keras_smes.types import Tensor


class AllRows:
    """All rows of a variable, for dense gradients: any backend, and XLA."""

    def __init__(self, gradient: Tensor) -> None:
        self.gradient = gradient
        self._touched = ops.any(ops.not_equal(gradient, 0), axis=_axes_of_a_row(gradient))

    def read(self, variable: Any) -> Tensor:
        """Returns the whole variable."""
        return ops.convert_to_tensor(variable)

    def write(self, variable: Any, values: Tensor) -> None:
        """Overwrites the rows whose gradient isn't zero."""
        axes_of_a_row = range(len(self._touched.shape), len(values.shape))
        touched = ops.expand_dims(self._touched, tuple(axes_of_a_row))
        variable.assign(ops.where(touched, values, self.read(variable)))


class SomeRows:
    """The rows that aren't zero of a `tf.IndexedSlices` without repeated indices."""

    def __init__(self, slices: Any) -> None:
        import tensorflow as tf

        # Zero rows are skipped, as in `AllRows`: the result doesn't depend on the form of the gradient.
        rows = (slices.indices, slices.values)
        touched = tf.reduce_any(tf.not_equal(slices.values, 0), axis=_axes_of_a_row(slices.values))
        self.indices, self.gradient = tf.cond(
            tf.reduce_all(touched), lambda: rows, lambda: tuple(tf.boolean_mask(x, touched) for x in rows)
        )

    def read(self, variable: Any) -> Tensor:
        """Returns the rows, gathered from the variable itself: reading it first would copy it."""
        import tensorflow as tf

        return tf.gather(_native(variable), self.indices)

    def write(self, variable: Any, values: Tensor) -> None:
        """Overwrites the rows."""
        import tensorflow as tf

        variable = _native(variable)
        variable.scatter_update(tf.IndexedSlices(values, self.indices))
        # TensorFlow copies the whole variable at each read after a gather or scatter, and Keras'
        # `Embedding` reads it once per step. Without copy-on-read, reads share the buffer, and a reader
        # that still holds it at the next scatter gets a copy. The indices come from the gradient, so the
        # gather runs after the read of the forward pass.
        tf.raw_ops.DisableCopyOnRead(resource=variable.handle)


def rows_of(gradient: Any) -> AllRows | SomeRows:
    """Returns the rows that `gradient`, a tensor or a `tf.IndexedSlices`, touches."""
    if not is_sparse(gradient):
        return AllRows(gradient)
    if compiles_with_xla():  # XLA copies the tables anyway and needs static shapes.
        return AllRows(dense(gradient))
    return SomeRows(sum_repeated(gradient))


def sum_repeated(gradient: Any) -> Any:
    """Returns the gradient with the parts of each row summed: an id has one part per lookup.

    Squares and norms of the gradient need the sums; they are wrong on the parts.
    """
    if not is_sparse(gradient):
        return gradient
    import tensorflow as tf

    indices, part = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, part, tf.shape(indices)[0])
    return tf.IndexedSlices(values, indices, gradient.dense_shape)


def dense(gradient: Any) -> Tensor:
    """Returns the gradient as a tensor, zero in the rows that it doesn't touch."""
    if not is_sparse(gradient):
        return gradient
    import tensorflow as tf

    return tf.convert_to_tensor(gradient)  # Keras' conversion leaves it sparse.


def values_of(gradient: Any) -> Tensor:
    """Returns the values of a gradient, without the rows that it doesn't touch."""
    return gradient.values if is_sparse(gradient) else gradient


def with_values(gradient: Any, values: Tensor) -> Any:
    """Returns a gradient of the same rows with other values."""
    if not is_sparse(gradient):
        return values
    import tensorflow as tf

    return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)


def beside(variable: Any) -> contextlib.AbstractContextManager:
    """Returns a context in which a `tf.distribute` strategy colocates new variables with `variable`."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.distribute.has_strategy():
            return tf.distribute.get_strategy().extended.colocate_vars_with(_native(variable))
    return contextlib.nullcontext()


def is_sparse(gradient: Any) -> bool:
    """Whether the gradient is a `tf.IndexedSlices`."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(gradient, tf.IndexedSlices)


def path_of(variable: Any) -> str:
    """Returns the path of a Keras variable, the name of a `tf.Variable`."""
    return str(getattr(variable, "path", None) or variable.name.partition(":")[0])


def _axes_of_a_row(values: Tensor) -> tuple[int, ...]:
    return tuple(range(1, len(values.shape)))


def _native(variable: Any) -> Any:
    return variable.value if isinstance(variable, keras.Variable) else variable
