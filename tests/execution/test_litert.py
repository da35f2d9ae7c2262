"""LiteRT takes experts that run densely, and no others."""

import keras
import numpy as np
import pytest

from keras_smes import SMES
from keras_smes.baselines import build_experts

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


@pytest.mark.parametrize("execution", ["auto", "grouped", "blocks", "tiles"])
def test_other_ways_are_rejected_and_no_file_is_left(tmp_path, execution):
    h = keras.Input((256,), name="h")
    smes = SMES(3, 32, num_shared=2, num_private=1, expert_units=(64, 32), execution=execution)
    model = keras.Model(h, smes(h))
    way = "grouped" if execution == "auto" else execution
    with pytest.raises(ValueError, match=f"`layer.experts.execution = 'dense'`. Received: execution='{way}'"):
        model.export(tmp_path / "layer.tflite", format="litert", verbose=False)
    assert not list(tmp_path.iterdir())
    model.export(tmp_path / "saved", verbose=False)  # other formats take it


def test_a_sparse_baseline_is_rejected(tmp_path):
    h = keras.Input((16,), name="h")
    experts = build_experts("naive_sparse", 3, {"num_experts": 32, "num_picks": 2, "expert_units": (64, 32)})
    model = keras.Model(h, experts(h))
    with pytest.raises(ValueError, match="LiteRT runs experts with `execution='dense'` alone"):
        model.export(tmp_path / "layer.tflite", format="litert", verbose=False)
    assert not list(tmp_path.iterdir())
