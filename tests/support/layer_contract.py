"""What every layer of the library owes its users, as checks that each layer's tests call."""

import inspect
import json

import keras
import numpy as np

from support.backends import TENSORFLOW, compiled, evaluate, graph_of_unknown_batch, to_numpy, to_tensors

# Sums are ordered differently by number of rows, eager kernels and compilers.
TOLERANCE = 1e-6


def assert_same(actual, expected, tolerance=TOLERANCE):
    """Integers and booleans are equal; floats within `tolerance` of the largest."""
    keras.tree.assert_same_structure(actual, expected)
    for found, wanted in zip(keras.tree.flatten(actual), keras.tree.flatten(expected), strict=True):
        assert found.shape == wanted.shape
        assert found.dtype == wanted.dtype
        if found.dtype.kind in "bi":
            np.testing.assert_array_equal(found, wanted)
        else:
            scale = np.abs(wanted).max(initial=0)
            np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * scale)


def rows(structure, count):
    return keras.tree.map_structure(lambda array: array[:count], structure)


def functional(layer, inputs):
    """The layer alone in a functional model, one input for each array."""
    symbols = keras.tree.map_structure(lambda a: keras.Input(a.shape[1:], dtype=a.dtype.name), inputs)
    return keras.Model(list(symbols), layer(*symbols))


def assert_runs_everywhere(layer, inputs, xla=True):
    """Eager, functional, traced once for any batch size, under XLA: the same outputs."""
    eager = to_numpy(layer(*to_tensors(inputs)))
    model = functional(layer, inputs)
    assert_same(model.predict(list(inputs), verbose=0, batch_size=len(keras.tree.flatten(inputs)[0])), eager)
    if TENSORFLOW:
        traced = graph_of_unknown_batch(layer, *inputs)
        for count in (len(keras.tree.flatten(inputs)[0]), 1, 0):
            assert_same(to_numpy(traced(*rows(inputs, count))), rows(eager, count))
    if xla:
        assert_same(to_numpy(compiled(layer)(*to_tensors(inputs))), eager)


def assert_shapes(layer, inputs):
    """`compute_output_shape` says what comes out, also where the batch size is unknown."""
    actual = evaluate(layer, *inputs)
    shapes = keras.tree.map_structure(lambda array: tuple(array.shape), inputs)
    unknown = keras.tree.map_structure(lambda array: (None, *array.shape[1:]), inputs)
    names = [name for name in inspect.signature(layer.compute_output_shape).parameters if name != "self"]
    assert len(names) == len(inputs)
    tensors = keras.tree.map_structure(lambda tensor: tuple(tensor.shape), actual)
    assert layer.compute_output_shape(*shapes) == tensors
    symbolic = functional(layer, inputs).output
    symbols = keras.tree.map_structure(lambda tensor: tuple(tensor.shape), symbolic)
    assert layer.compute_output_shape(*unknown) == symbols


def assert_saves(layer, inputs, folder):
    """A `.keras` file gives bit-equal predictions back."""
    model = functional(layer, inputs)
    before = model.predict(list(inputs), verbose=0)
    model.save(folder / "model.keras")
    after = keras.saving.load_model(folder / "model.keras").predict(list(inputs), verbose=0)
    keras.tree.assert_same_structure(before, after)
    keras.tree.map_structure(np.testing.assert_array_equal, before, after)


def serialized(value):
    for kind in (keras.initializers, keras.regularizers):
        if isinstance(value, (keras.initializers.Initializer, keras.regularizers.Regularizer)):
            return kind.serialize(value)
    return value


def assert_config_round_trip(layer_class, arguments):
    """Each argument of the constructor, none at its default, survives JSON and comes out as it went in."""
    parameters = inspect.signature(layer_class.__init__).parameters
    own = {n: p for n, p in parameters.items() if n != "self" and p.kind is not p.VAR_KEYWORD}
    assert set(own) == set(arguments), "this check must name every argument"
    assert all(arguments[name] != parameter.default for name, parameter in own.items())
    layer = layer_class(**arguments, name="mine", dtype="mixed_bfloat16")
    config = layer.get_config()
    assert {name: config[name] for name in own} == {n: serialized(v) for n, v in arguments.items()}
    again = layer_class.from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    assert again.dtype_policy.name == "mixed_bfloat16"
