"""Metrics under two replicas, in a process of its own: devices are set before TensorFlow starts."""

import json

import numpy as np
import pytest
from support.processes import run

from keras_smes.metrics import RoutingHealth, auc, log_loss

SCRIPT = """
import json, sys
import keras, numpy as np, tensorflow as tf
from keras_smes.metrics import AUC, LogLoss, RoutingHealth

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
data = np.load(sys.argv[1])
with strategy.scope():
    model = keras.Sequential([keras.layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=[AUC(), LogLoss()])
    health = RoutingHealth(3, 8, 8)
found = model.evaluate(data["x"], data["y"], batch_size=16, return_dict=True, verbose=0)
routing = {name: data[name] for name in ("probabilities", "chosen", "union")}
batches = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices(routing).batch(16))
step = tf.function(lambda batch: strategy.run(health.update_state, (batch,)))
for batch in batches:
    step(batch)
counts = {name: count.tolist() for name, count in health.state().items()}
scores = model.predict(data["x"], verbose=0)[:, 0].tolist()
json.dump({"found": found, "scores": scores, "counts": counts}, open(sys.argv[2], "w"))
"""


@pytest.mark.tensorflow
def test_two_replicas_feed_one_metric(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(70, 4)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=70) > 0).astype(np.float32)
    chosen_bte = rng.random((70, 3, 8)) < 0.3
    p_bte = rng.dirichlet(np.ones(8), (70, 3)).astype(np.float32)
    routing = {"probabilities": p_bte, "chosen": chosen_bte, "union": chosen_bte.any(axis=1)}
    np.savez(tmp_path / "data.npz", x=x, y=y, **routing)
    process = run(SCRIPT, (tmp_path / "data.npz", tmp_path / "out.json"), tmp_path / "log")
    assert process.wait() == 0, process.output
    out = json.loads((tmp_path / "out.json").read_text())
    assert out["found"]["auc"] == pytest.approx(auc(y, out["scores"]), abs=1e-12)
    assert out["found"]["log_loss"] == pytest.approx(log_loss(y, out["scores"]), abs=1e-6)
    expected = RoutingHealth(3, 8, 8)
    expected.update_state(routing)
    for name, count in expected.state().items():
        tolerance = 1e-6 * 70 * 2.0**24 if name == "entropy" else 0
        np.testing.assert_allclose(out["counts"][name], count, rtol=0, atol=tolerance, err_msg=name)
