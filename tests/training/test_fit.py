import dataclasses

import numpy as np
import polars as pl
import pytest

from keras_smes.training import RunConfig, evaluate, fit_ranker

pytestmark = pytest.mark.tensorflow

CONFIG = RunConfig(
    "simulated",
    num_experts=8,
    num_shared=1,
    expert_units=(8, 4),
    encoder_units=(16,),
    epochs=2,
    batch_size=256,
)


@pytest.fixture(scope="module")
def fitted(parts):
    return fit_ranker(CONFIG, parts.train, parts.test, verbose=0)


def test_training_lowers_the_loss(fitted):
    _, history = fitted
    assert len(history["loss"]) == len(history["val_loss"]) == 2
    assert history["loss"][1] < history["loss"][0]


def test_the_same_seed_gives_the_same_ranker(fitted, parts):
    again, history = fit_ranker(CONFIG, parts.train, parts.test, verbose=0)
    assert history["loss"] == pytest.approx(fitted[1]["loss"], rel=1e-5)
    figures, expected = (evaluate(ranker, parts.test)["tasks"] for ranker in (again, fitted[0]))
    for task in parts.test.tasks:
        assert figures[task]["auc"] == pytest.approx(expected[task]["auc"], abs=1e-4)


def test_evaluation_agrees_with_scikit_learn_on_the_rankers_own_scores(fitted, parts):
    metrics = pytest.importorskip("sklearn.metrics")
    import tensorflow as tf

    ranker, _ = fitted
    columns = {name: tf.constant(values) for name, values in parts.test.columns().items()}
    scores = ranker.predict(columns, verbose=0)
    figures = evaluate(ranker, parts.test)["tasks"]
    for task, labels in parts.test.labels().items():
        assert figures[task]["auc"] == pytest.approx(metrics.roc_auc_score(labels, scores[task]), abs=1e-6)
        assert figures[task]["logloss"] == pytest.approx(metrics.log_loss(labels, scores[task]), rel=1e-5)
        assert figures[task]["rows"] == len(labels)
        assert figures[task]["positives"] == int(labels.sum())


def test_routing_is_measured_over_all_rows(fitted, parts):
    routing = evaluate(fitted[0], parts.test)["routing"]
    assert routing["rows"] == len(parts.test)
    assert routing["union_bound"] == 1 + len(parts.test.tasks)
    assert 1 < routing["union_mean"] <= routing["union_bound"]
    assert sum(routing["expert_load"]) == pytest.approx(1.0)


def test_a_dense_model_has_no_routing(parts):
    ranker, _ = fit_ranker(dataclasses.replace(CONFIG, model="mmoe", epochs=1), parts.train, verbose=0)
    assert evaluate(ranker, parts.test)["routing"] == {}


def test_a_task_of_one_class_can_not_be_trained(parts):
    task = parts.train.tasks[0]
    frame = parts.train.frame.with_columns(pl.lit(0).cast(parts.train.frame[task].dtype).alias(task))
    with pytest.raises(ValueError, match=f"'{task}' needs positives and negatives"):
        fit_ranker(CONFIG, dataclasses.replace(parts.train, frame=frame), verbose=0)


def test_a_task_of_one_class_in_the_test_rows_has_no_auc(fitted, parts):
    task = parts.test.tasks[0]
    frame = parts.test.frame.with_columns(pl.lit(0).cast(parts.test.frame[task].dtype).alias(task))
    figures = evaluate(fitted[0], dataclasses.replace(parts.test, frame=frame))["tasks"][task]
    assert figures["auc"] is None
    assert figures["gauc"] is None
    assert np.isfinite(figures["logloss"])
