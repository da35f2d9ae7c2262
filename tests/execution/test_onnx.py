"""`model.export(format="onnx")` of a layer, in ONNX Runtime: as Keras, and the chosen pairs alone."""

import keras
import numpy as np
import pytest
from support import ways

from keras_smes import SMES

pytest.importorskip("tf2onnx", reason='needs the extra "onnx"')
onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning"),  # Keras' patch of tf2onnx
]

BATCHES = (1, 2, 7, 64, 513)
EXPERTS, WIDTH, HIDDEN = 12, 10, 9


def model_of(execution):
    h = keras.Input((WIDTH,), name="h")
    smes = SMES(
        3, EXPERTS, num_shared=2, num_private=[1, 1, 2], expert_units=(HIDDEN, 4), execution=execution
    )
    model = keras.Model(h, smes(h))
    model(np.zeros((1, WIDTH), np.float32))  # Keras exports a model that was called
    for weight in model.trainable_weights:
        weight.assign(np.random.default_rng(len(weight.shape)).normal(size=weight.shape))
    return model, smes


def rows(batch):
    return np.random.default_rng(batch).normal(size=(batch, WIDTH)).astype(np.float32)


def session_of(path):
    return runtime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("execution", ["auto", *ways.here()])
def test_it_answers_as_keras_does(execution, tmp_path):
    model, _ = model_of(execution)
    model.export(tmp_path / "layer.onnx", format="onnx", verbose=False)
    session = session_of(tmp_path / "layer.onnx")
    for batch in BATCHES:
        (answer,) = session.run(None, {session.get_inputs()[0].name: rows(batch)})
        np.testing.assert_allclose(answer, model(rows(batch)), rtol=1e-5, atol=1e-5)


def test_an_expert_multiplies_the_rows_that_chose_it_and_no_others(tmp_path):
    model, smes = model_of("auto")
    model.export(tmp_path / "layer.onnx", format="onnx", verbose=False)
    written = onnx.load(tmp_path / "layer.onnx")
    inputs_of_products = outputs_of_first_products(written)
    for name in inputs_of_products:
        written.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = session_of(written.SerializeToString())
    for batch in BATCHES:
        products = session.run(inputs_of_products, {session.get_inputs()[0].name: rows(batch)})
        chosen_be = np.asarray(smes.route(rows(batch))["union"])
        assert sorted(map(len, products)) == sorted(chosen_be.sum(axis=0))


def outputs_of_first_products(written):
    """Names of the products with an expert's own first kernel `[WIDTH, HIDDEN]`."""
    inferred = onnx.shape_inference.infer_shapes(written).graph.value_info
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in inferred}
    products = [node.output[0] for node in written.graph.node if node.op_type in ("MatMul", "Gemm")]
    return [name for name in products if shapes.get(name, [])[1:] == [HIDDEN]]
