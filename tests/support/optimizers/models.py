"""A small model with two tables, its rows, its training; and steps on one table, sparse or dense."""

import keras
import numpy as np

ROWS, IDS = 20, 3


def build():
    users, items = keras.Input((IDS,), dtype="int32"), keras.Input((), dtype="int32")
    user_vectors = keras.layers.Embedding(ROWS, 4, name="users")(users)
    item_vector = keras.layers.Embedding(ROWS, 4, name="items")(items)
    x = keras.layers.Concatenate()([keras.layers.Flatten()(user_vectors), item_vector])
    model = keras.Model([users, items], keras.layers.Dense(1)(keras.layers.Dense(8, "tanh")(x)))
    generator = np.random.default_rng(7)  # not Keras': the same numbers on each backend
    model.set_weights([generator.normal(scale=0.3, size=w.shape) for w in model.get_weights()])
    return model


def data(batches=6, batch=8):
    generator = np.random.default_rng(0)
    rows = batches * batch
    # Ids repeat within a batch, and the last two rows of a table are never met.
    users, items = (generator.integers(ROWS - 2, size=size) for size in [(rows, IDS), (rows,)])
    return [users.astype(np.int32), items.astype(np.int32)], generator.normal(size=(rows, 1))


def fit(model, rows, epochs=1):
    inputs, labels = rows
    return model.fit(inputs, labels, batch_size=8, epochs=epochs, shuffle=False, verbose=0)


def trained(optimizer, epochs=2, **compile_arguments):
    """The weights after some epochs."""
    model = build()
    model.compile(optimizer, loss="mse", **compile_arguments)
    fit(model, data(), epochs)
    return model.get_weights()


def assert_weights(actual, expected, tolerance=1e-5):
    for found, wanted in zip(actual, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


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
