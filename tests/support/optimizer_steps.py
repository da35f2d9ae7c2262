"""Takes steps of an optimizer on a table, the gradient sparse or dense."""

import keras
import numpy as np


def draw_steps(count=6, rows=12, width=3, ids=10, seed=0):
    """`(ids, vectors)` a step: ids repeat, and some rows are met in no step or rest for some."""
    generator = np.random.default_rng(seed)
    return [
        (generator.integers(rows - 2, size=ids), generator.normal(size=(ids, width)).astype(np.float32))
        for _ in range(count)
    ]


def dense(gradients, shape):
    array = np.zeros(shape, np.float32)
    np.add.at(array, gradients[0], gradients[1])
    return keras.ops.convert_to_tensor(array)


def sparse(gradients, shape):
    import tensorflow as tf

    return tf.IndexedSlices(tf.constant(gradients[1]), tf.constant(gradients[0]), tf.constant(shape))


def tables_after(optimizer, table, steps, form):
    """The table after each step; `form` is `dense` or `sparse`."""
    variable = keras.Variable(table.astype(np.float32), name="embeddings")
    optimizer.build([variable])
    tables = []
    for gradients in steps:
        optimizer.apply([form(gradients, table.shape)], [variable])
        tables.append(keras.ops.convert_to_numpy(variable).copy())
    return tables
