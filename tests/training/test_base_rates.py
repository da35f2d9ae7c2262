"""Where the logits of binary tasks start."""

import numpy as np
import pytest

from keras_smes.tasks import BinaryTask, RegressionTask
from keras_smes.training import RunConfig
from keras_smes.training.fit import new_model, prepare
from keras_smes.training.input.prepared import base_rates

pytestmark = pytest.mark.tensorflow


def test_rates_are_means_of_the_rows_that_count():
    labels = {
        "click": np.array([1, 0, 1, 1, np.nan], np.float32),
        "buy": np.array([1, 1, 0, 0, 1], np.float32),
        "seconds": np.array([5, 0, 7, 9, 1], np.float32),
    }
    tasks = [BinaryTask("click"), BinaryTask("buy", condition="click"), RegressionTask("seconds")]
    assert base_rates(tasks, labels, np.ones(5)) == {"click": 0.75, "buy": pytest.approx(1 / 3)}
    weighted = base_rates(tasks, labels, np.array([2.0, 1.0, 1.0, 1.0, 3.0]))
    assert weighted == {"click": pytest.approx(4 / 5), "buy": pytest.approx(2 / 4)}


def test_biases_start_at_the_log_odds_of_the_base_rates(parts):
    prepared = prepare(parts.train)
    _, model = new_model(RunConfig("simulated"), prepared, steps=1)
    for task in parts.train.tasks:
        rate = parts.train.labels()[task.label].mean(dtype=np.float64)
        bias = model.core.get_layer(f"tower_{task.name}").logits.bias
        np.testing.assert_allclose(1 / (1 + np.exp(-np.array(bias))), [rate], rtol=1e-5)
