import dataclasses

import keras
import numpy as np
import polars as pl
import pytest

from keras_smes.training import (
    EncoderConfig,
    MetricOfTask,
    RunConfig,
    TrainingConfig,
    evaluate,
    fit_ranker,
)

pytestmark = pytest.mark.tensorflow

CONFIG = RunConfig(
    "simulated",
    experts={"num_experts": 8, "num_shared": 1, "expert_units": (8, 4)},
    encoder=EncoderConfig((16,)),
    training=TrainingConfig(epochs=2, batch_size=256),
)


@pytest.fixture(scope="module")
def fitted(parts):
    return fit_ranker(CONFIG, parts.train, parts.test, verbose=0)


def test_training_lowers_the_loss(fitted):
    history = fitted.history
    assert len(history["loss"]) == len(history["val_loss"]) == 2
    assert history["loss"][1] < history["loss"][0]


def test_the_same_seed_gives_the_same_bits(fitted, parts):
    again = fit_ranker(CONFIG, parts.train, parts.test, verbose=0)
    assert again.history == fitted.history
    for one, other in zip(again.ranker.variables, fitted.ranker.variables, strict=True):
        assert np.array(one).tobytes() == np.array(other).tobytes()


def test_validation_losses_are_those_of_the_served_scores(fitted, parts):
    metrics = pytest.importorskip("sklearn.metrics")
    import tensorflow as tf

    columns = {name: tf.constant(values) for name, values in parts.test.columns().items()}
    scores = fitted.ranker.predict(columns, verbose=0)
    losses = {
        task.name: metrics.log_loss(parts.test.labels()[task.label], scores[task.name])
        for task in parts.test.tasks
    }
    for name, loss in losses.items():
        assert fitted.history[f"val_{name}_loss"][-1] == pytest.approx(loss, rel=1e-4)
    assert fitted.history["val_loss"][-1] == pytest.approx(sum(losses.values()), rel=1e-4)


def test_routing_is_measured_over_all_rows(fitted, parts):
    routing = evaluate(fitted[0], parts.test)["routing"]
    assert routing["rows"] == len(parts.test)
    assert routing["union_bound"] == 1 + len(parts.test.tasks)
    assert 1 < routing["union_mean"] <= routing["union_bound"]
    assert sum(routing["expert_load"]) == pytest.approx(1.0)


def test_a_dense_model_has_no_routing(parts):
    config = RunConfig("simulated", model="mmoe", encoder=CONFIG.encoder, training=TrainingConfig(epochs=1))
    fitted = fit_ranker(config, parts.train, verbose=0)
    evaluated = evaluate(fitted.ranker, parts.test)
    assert evaluated["routing"] == evaluated["instance"] == {}
    assert not any("dead_experts" in name for name in fitted.progress.history[0])


def test_a_task_of_one_class_can_not_be_trained(parts):
    task = parts.train.tasks[0].label
    frame = parts.train.frame.with_columns(pl.lit(0).cast(parts.train.frame[task].dtype).alias(task))
    with pytest.raises(ValueError, match=f"'{task}' needs different labels"):
        fit_ranker(CONFIG, dataclasses.replace(parts.train, frame=frame), verbose=0)


def test_a_choice_needs_validation_rows(parts):
    training = dataclasses.replace(CONFIG.training, select=MetricOfTask("click"))
    with pytest.raises(ValueError, match="need validation rows"):
        fit_ranker(dataclasses.replace(CONFIG, training=training), parts.train, verbose=0)


def test_the_policy_of_others_is_left_alone(parts):
    training = dataclasses.replace(CONFIG.training, epochs=1, dtype_policy="mixed_bfloat16")
    ranker, progress, *_ = fit_ranker(dataclasses.replace(CONFIG, training=training), parts.train, verbose=0)
    assert keras.config.dtype_policy().name == "float32"
    assert ranker.get_layer("core").get_layer("encoder_0").compute_dtype == "bfloat16"
    assert np.isfinite(progress.history[0]["loss"])
