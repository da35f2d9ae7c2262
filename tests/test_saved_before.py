"""Models that earlier code saved answer as they did: a `.keras` file on both backends, and a SavedModel.

`tests/saved/write_models.py` made the files, run by the code before routers became one product.
"""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from saved.write_models import ROWS

import keras_smes  # noqa: F401  registers the layers

SAVED = Path(__file__).parent / "saved"


def assert_answers(scores):
    with np.load(SAVED / "answers.npz") as answers:
        assert set(scores) == set(answers) == {"click", "like", "share"}
        for task, answer in answers.items():
            assert np.ptp(answer) > 1e-3
            np.testing.assert_allclose(keras.ops.convert_to_numpy(scores[task]), answer, rtol=0, atol=1e-6)


def test_a_keras_file():
    assert_answers(keras.models.load_model(SAVED / "ranker.keras")(ROWS))


@pytest.mark.tensorflow
def test_a_saved_model(tmp_path):
    import tensorflow as tf

    shutil.unpack_archive(SAVED / "saved_model.zip", tmp_path)
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    assert_answers(served(**{name: tf.constant(column) for name, column in ROWS.items()}))
