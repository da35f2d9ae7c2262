"""LiteRT takes experts that run densely."""

import keras
import numpy as np
import pytest

from keras_smes import SMES

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated"),
]


def test_dense_experts_answer_as_keras_does(tmp_path):
    tf = pytest.importorskip("tensorflow")
    h = keras.Input((10,), name="h")
    smes = SMES(3, 12, num_shared=2, num_private=1, expert_units=(9, 4))
    model = keras.Model(h, smes(h))
    smes.experts.execution = "dense"  # as the guide says of a trained layer
    model.export(tmp_path / "layer.tflite", format="litert", verbose=False)
    runner = tf.lite.Interpreter(str(tmp_path / "layer.tflite")).get_signature_runner()
    for batch in (1, 2, 7, 64, 513):
        rows = np.random.default_rng(batch).normal(size=(batch, 10)).astype(np.float32)
        (answer,) = runner(**dict.fromkeys(runner.get_input_details(), rows)).values()
        np.testing.assert_allclose(answer, model(rows), rtol=1e-5, atol=1e-5)
