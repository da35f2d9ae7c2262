"""Gradients of stacked kernels: one batched product where experts have few rows, else products apart."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tensorflow

WIDTH = 40


@pytest.mark.parametrize("counts", [[3, 3, 3, 3], [0, 1, 9, 2], [0, 0, 0, 0], [40, 1, 0, 1]])
@pytest.mark.parametrize("most_padding", [1000, -1000], ids=["batched", "apart"])
def test_gradients_of_kernels_and_rows_equal_those_of_each_expert(monkeypatch, counts, most_padding):
    from keras_smes.execution import grouped

    monkeypatch.setattr(grouped, "MOST_CACHED", 0)
    monkeypatch.setattr(grouped, "MOST_PADDING", most_padding)
    rng = np.random.default_rng(0)
    kernel_eio = rng.normal(size=(len(counts), WIDTH, WIDTH)).astype("float32")
    rows, cotangents = (
        [rng.normal(size=(count, WIDTH)).astype("float32") for count in counts] for _ in range(2)
    )

    def gradients(kernel_eio, rows_e, cotangents_e):
        with tf.GradientTape() as tape:
            tape.watch([kernel_eio, *rows_e])
            products_e = grouped.multiply(rows_e, kernel_eio)
        return tape.gradient(products_e, [kernel_eio, *rows_e], output_gradients=cotangents_e)

    some_rows = [tf.TensorSpec([None, WIDTH])] * len(counts)
    graph = tf.function(gradients, input_signature=[tf.TensorSpec(kernel_eio.shape), some_rows, some_rows])
    kernel_gradient, *row_gradients = graph(kernel_eio, rows, cotangents)
    expected = np.stack([x.T @ y for x, y in zip(rows, cotangents, strict=True)])
    np.testing.assert_allclose(kernel_gradient, expected, rtol=1e-5, atol=1e-5)
    for gradient, cotangent, kernel in zip(row_gradients, cotangents, kernel_eio, strict=True):
        np.testing.assert_allclose(gradient, cotangent @ kernel.T, rtol=1e-5, atol=1e-5)
