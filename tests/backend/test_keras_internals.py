"""What `keras_smes.backend` takes from Keras without a public name: still there, and still what it was.

A test that fails here after an upgrade of Keras names the one function to mend. The tests of
`backend.replicas` and `backend.quantization` are beside it.
"""

import keras
import numpy as np
import pytest
from support.backends import to_numpy

from keras_smes.backend import graph, optimizer, xla


def model_of_two_layers():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    added = keras.layers.Add(name="added")([a, b])
    return keras.Model({"a": a, "b": b}, keras.layers.Dense(2, name="dense")(added))


def test_nodes_run_from_inputs_to_outputs():
    """Mend `backend.graph.nodes_of`: Keras' `Function` sorts them by depth."""
    names = [node.operation.name for node in graph.nodes_of(graph.graph_of(model_of_two_layers()))]
    assert sorted(names[:2]) == ["a", "b"]
    assert names[2:] == ["added", "dense"]


def test_a_sequential_model_has_a_graph_and_a_subclass_has_none():
    """Mend `backend.graph.graph_of`: a built `Sequential` holds a functional model."""
    sequential = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="dense")])
    assert "dense" in [node.operation.name for node in graph.nodes_of(graph.graph_of(sequential))]

    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    assert graph.graph_of(Own()) is None
    assert not graph.is_graph(Own())
    assert graph.is_graph(model_of_two_layers())


def test_inputs_keep_their_structure():
    """Mend `backend.graph.inputs_of`."""
    assert set(graph.inputs_of(model_of_two_layers())) == {"a", "b"}


def test_a_model_is_called_with_another_operation_in_a_layer_s_place():
    """Mend `backend.graph.call_graph`: `clone_model` goes the same way."""
    model = model_of_two_layers()
    values = {name: np.full((1, 3), value, "float32") for name, value in (("a", 1), ("b", 2))}

    def doubled(layer):
        return (lambda x: 2 * layer(x)) if layer.name == "dense" else layer

    np.testing.assert_allclose(
        to_numpy(graph.call_graph(model, values, doubled)), 2 * to_numpy(model(values)), rtol=1e-6
    )


def test_the_calls_of_a_layer_have_their_tensors():
    """Mend `backend.graph.nodes_of_layer`."""
    model = model_of_two_layers()
    (node,) = graph.nodes_of_layer(model.get_layer("added"))
    assert {id(tensor) for tensor in node.input_tensors} == {id(tensor) for tensor in model.input.values()}


def test_a_mask_goes_with_a_symbolic_tensor():
    """Mend `backend.graph.mask_of`."""
    ids = keras.Input((4,), dtype="int32")
    embedded = keras.layers.Embedding(8, 2, mask_zero=True)(ids)
    assert graph.mask_of(embedded).shape == (None, 4)
    assert graph.mask_of(ids) is None


def test_an_optimizer_has_a_count_of_steps_and_slots_named_after_their_weights():
    """Mend `backend.optimizer`."""
    adam = keras.optimizers.Adam()
    layer = keras.layers.Dense(1, name="dense")
    layer.build((None, 2))
    adam.build(layer.trainable_variables)
    optimizer.set_steps(adam, 7)
    assert int(adam.iterations) == 7
    names = {variable.name for variable in optimizer.own_variables(adam)}
    assert {"dense_kernel_momentum", "dense_kernel_velocity", "dense_bias_momentum"} <= names


def test_an_optimizer_finds_its_weights_and_their_moments():
    """Mend `backend.optimizer.trained_variables`, `place_of` and `moments_of`."""
    adam = keras.optimizers.Adam(beta_1=0.9, beta_2=0.999)
    layer = keras.layers.Dense(1, name="dense")
    layer.build((None, 2))
    adam.build(layer.trainable_variables)
    assert [v.path for v in optimizer.trained_variables(adam)] == [v.path for v in layer.trainable_variables]
    assert [optimizer.place_of(adam, variable) for variable in layer.trainable_variables] == [0, 1]
    adam.apply([keras.ops.full((2, 1), 2.0), keras.ops.full((1,), 3.0)], layer.trainable_variables)
    first, second = (to_numpy(own) for own in optimizer.moments_of(adam, layer.bias))
    np.testing.assert_allclose((first, second), ([0.1 * 3], [0.001 * 9]), rtol=1e-5)


def test_keras_clips_gradients_and_normalises_by_the_methods_that_are_overridden():
    """Mend `RowOptimizer._clip_gradients` and `GlobalBatchNormalization._moments`."""

    class Clipped(keras.optimizers.SGD):
        def _clip_gradients(self, grads):
            return [0 * gradient for gradient in grads]

    class Normalized(keras.layers.BatchNormalization):
        def _moments(self, inputs, mask):
            return keras.ops.ones((2,)), keras.ops.ones((2,))

    variable = keras.Variable([5.0])
    Clipped(1.0).apply([keras.ops.ones((1,))], [variable])
    np.testing.assert_array_equal(to_numpy(variable), [5.0])
    normalized = Normalized(epsilon=0.0)(keras.ops.full((3, 2), 4.0), training=True)
    np.testing.assert_allclose(to_numpy(normalized), np.full((3, 2), 3.0), rtol=1e-6)


@pytest.mark.tensorflow
def test_tensorflow_says_whether_xla_compiles():
    """Mend `backend.xla.compiles_with_xla`."""
    import tensorflow as tf

    seen = {}
    for compiled in (False, True):

        def traced(x, compiled=compiled):
            seen[compiled] = xla.compiles_with_xla()
            return x + 1

        tf.function(traced, jit_compile=compiled)(tf.constant(1.0))
    assert seen == {False: False, True: True}
    assert not xla.compiles_with_xla()
