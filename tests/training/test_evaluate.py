"""A ranker of every kind of task on simulated rows: it learns each of them, and `evaluate` measures them."""

import dataclasses

import keras
import numpy as np
import polars as pl
import pytest

from keras_smes import SMES, BinaryTask, OrdinalTask, RegressionTask, WeightedLogisticTask, build_ranker
from keras_smes.data import simulate, split
from keras_smes.training import evaluate
from keras_smes.training.evaluate import score_metrics
from keras_smes.training.input.preprocessing import preprocess
from keras_smes.training.scoring import scores_of

pytestmark = pytest.mark.tensorflow

TASKS = (
    BinaryTask("click"),
    BinaryTask("buy", condition="click"),
    RegressionTask("seconds", weight=0.5),
    WeightedLogisticTask("odds", label="seconds", negatives="all"),
    OrdinalTask("stars", thresholds=(2, 3, 4, 5), values=(1, 2, 3, 4, 5), condition="click", units=(8,)),
)


def with_labels(data, seed=1):
    """Watch time from how probable a long view is; bought and rated only if clicked, rated by 4 in 5."""
    random, frame = np.random.default_rng(seed), data.frame
    affinity = frame["click_probability"].to_numpy()
    rows = len(affinity)
    clicked = frame["click"].to_numpy() == 1
    seconds = np.expm1(np.maximum(0, 4 * affinity + 0.5 * random.normal(size=rows)))
    stars = np.clip(np.round(1 + 4 * affinity + 0.5 * random.normal(size=rows)), 1, 5)
    return frame.with_columns(
        pl.Series("seconds", seconds),
        pl.Series("buy", ((random.random(rows) < affinity) & clicked).astype(np.int8)),
        pl.Series("stars", np.where(clicked & (random.random(rows) < 0.8), stars, np.nan)).fill_nan(None),
    )


@pytest.fixture(scope="module")
def parts():
    data = simulate(rows=8000, users=100, videos=100, days=6, groups={"watching": {"click": 0.4}}, noise=0.2)
    return split(dataclasses.replace(data, frame=with_labels(data), tasks=TASKS, statistics=()))


@pytest.fixture(scope="module")
def ranker(parts):
    keras.utils.set_random_seed(2)
    columns, labels = parts.train.columns(), parts.train.labels()
    tasks = [task.fit(labels) for task in TASKS]
    smes = SMES(len(tasks), 8, 2, 1, (16, 8), name="experts")
    ranker = build_ranker(parts.train.schema.fit(columns), tasks, smes, (32,), (8,))
    core = ranker.get_layer("core")
    core.compile(
        keras.optimizers.Adam(0.01),
        loss={task.name: task.loss() for task in tasks},
        loss_weights={task.name: task.weight for task in tasks},
    )
    core.fit(
        preprocess(ranker, columns),
        {task.name: task.targets(labels) for task in tasks},
        sample_weight={task.name: task.counted(labels) for task in tasks},
        batch_size=256,
        epochs=4,
        verbose=0,
    )
    return ranker


@pytest.fixture(scope="module")
def figures(ranker, parts):
    return evaluate(ranker, parts.test)["tasks"]


@pytest.fixture(scope="module")
def scores(ranker, parts):
    """The very scores that `figures` are of: in batches of another size they differ by an ulp."""
    return scores_of(ranker, parts.test)


def test_scores_are_those_of_the_ranker(ranker, parts, scores):
    import tensorflow as tf

    columns = {name: tf.constant(values) for name, values in parts.test.columns().items()}
    predicted = ranker.predict(columns, verbose=0)
    for task, values in predicted.items():
        np.testing.assert_allclose(scores[task], values, rtol=1e-5, atol=1e-6)


def known(parts, task):
    """The labels that count, of training and of test rows."""
    frames = [parts.train.frame, parts.test.frame]
    if task.condition is not None:
        frames = [frame.filter(pl.col(task.condition) == 1) for frame in frames]
    return [frame[task.label].drop_nulls().to_numpy() for frame in frames]


@pytest.mark.parametrize("task", TASKS[:2], ids=["click", "buy"])
def test_events_are_predicted_better_than_by_their_rate(task, figures, parts):
    train, test = known(parts, task)
    constant = -np.mean(test * np.log(train.mean()) + (1 - test) * np.log(1 - train.mean()))
    assert figures[task.name]["logloss"] < 0.97 * constant
    assert figures[task.name]["auc"] > 0.6
    assert (figures[task.name]["rows"], figures[task.name]["positives"]) == (len(test), test.sum())


@pytest.mark.parametrize(
    ("task", "figure", "constant"),
    # Each against the constant that is best by the figure: the median, the mean, the median.
    [(TASKS[2], "mae", np.median), (TASKS[3], "rmse", np.mean), (TASKS[4], "mae", np.median)],
    ids=["seconds", "odds", "stars"],
)
def test_numbers_are_predicted_better_than_by_a_constant(task, figure, constant, figures, parts):
    train, test = known(parts, task)
    errors = np.abs(test - constant(train))
    error_of_constant = errors.mean() if figure == "mae" else np.sqrt(np.square(errors).mean())
    assert figures[task.name][figure] < 0.9 * error_of_constant
    assert figures[task.name]["rows"] == len(test)


def test_odds_of_watch_time_sum_to_the_watch_time(ranker, parts):
    """Cross entropy with a bias fits the mean: on the rows that it was trained on, about exactly."""
    core, rows = ranker.get_layer("core"), parts.train
    logits = core.predict(preprocess(ranker, rows.columns()), verbose=0)
    odds = np.asarray(ranker.get_layer("scores")(logits)["odds"])
    assert odds.mean() == pytest.approx(rows.labels()["seconds"].mean(), rel=0.1)


def test_each_threshold_has_a_figure_of_its_own():
    """Of thresholds that are one number in six digits: the AUC at each is that of its own level."""
    task = OrdinalTask("plays", thresholds=(1, 1_000_000, 1_000_001, 1_000_001.5))
    plays = np.array([0.0, 5, 1_000_000, 1_000_001, 1_000_002], np.float32)
    scores = np.array([0.1, 0.5, 0.2, 0.4, 0.3])
    figures = score_metrics([task], {"plays": scores}, {"plays": plays}, np.zeros(5, int))["plays"]
    by_hand = {"1": 4 / 4, "1e+06": 3 / 6, "1000001": 4 / 6, "1000001.5": 2 / 4}
    assert {name: figures[f"auc_at_{name}"] for name in by_hand} == pytest.approx(by_hand)


def test_figures_are_those_of_scikit_learn_on_the_rows_that_count(figures, scores, parts):
    metrics = pytest.importorskip("sklearn.metrics")
    frame = parts.test.frame
    clicked = (frame["click"] == 1).to_numpy()
    rated = frame["stars"].is_not_null().to_numpy()
    bought, stars = frame["buy"].to_numpy()[clicked], frame["stars"].drop_nulls().to_numpy()
    assert figures["buy"]["auc"] == pytest.approx(metrics.roc_auc_score(bought, scores["buy"][clicked]))
    assert figures["buy"]["logloss"] == pytest.approx(metrics.log_loss(bought, scores["buy"][clicked]), 1e-5)
    error = metrics.mean_absolute_error(stars, scores["stars"][rated])
    assert figures["stars"]["mae"] == pytest.approx(error, rel=1e-5)
    error = metrics.root_mean_squared_error(frame["seconds"].to_numpy(), scores["seconds"])
    assert figures["seconds"]["rmse"] == pytest.approx(error, rel=1e-5)
    at_least_4 = metrics.roc_auc_score(stars >= 4, scores["stars"][rated])
    assert figures["stars"]["auc_at_4"] == pytest.approx(at_least_4)
    assert [name for name in figures["stars"] if name.startswith("auc_at")] == [
        f"auc_at_{c}" for c in (2, 3, 4, 5)
    ]
    ratio = scores["buy"][clicked].sum() / bought.sum()
    assert figures["buy"]["predicted_over_observed"] == pytest.approx(ratio, rel=1e-5)
    assert 0 < figures["buy"]["calibration_error"] < 0.2
    bins = figures["buy"]["calibration"]
    assert sum(bins["rows"]) == figures["buy"]["rows"]
    observed, predicted = (np.dot(bins[name], bins["rows"]) for name in ("observed", "predicted"))
    assert observed == pytest.approx(figures["buy"]["positives"])
    assert predicted / observed == pytest.approx(figures["buy"]["predicted_over_observed"])


def test_numbers_are_ranked_as_all_pairs_say(figures, scores, parts):
    scores = scores["stars"]
    stars = parts.test.frame["stars"].to_numpy()
    rated = ~np.isnan(stars)
    more = stars[rated, None] > stars[None, rated]
    won = np.sign(scores[rated, None] - scores[None, rated]) / 2 + 0.5
    assert figures["stars"]["xauc"] == pytest.approx(won[more].mean(), abs=1e-6)
    for task in ("seconds", "odds", "stars"):
        assert figures[task]["xauc"] > 0.6
        assert 0.5 < figures[task]["gxauc"] <= 1


def test_the_order_within_requests_is_measured_as_scikit_learn_does():
    """Three requests with both labels, one with a single label, and rows of no request."""
    requests = np.array(["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 2 + [None] * 4, dtype=object)
    random = np.random.default_rng(5)
    clicks = np.array([0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 1, 1.0])
    scores = random.random(len(requests))
    watched = clicks * random.integers(1, 30, len(requests))
    tasks, users = [BinaryTask("click"), RegressionTask("seconds")], np.zeros(len(requests), int)
    labels, given = {"click": clicks, "seconds": watched}, {"click": scores, "seconds": scores}
    figures = score_metrics(tasks, given, labels, users, requests)
    metrics = pytest.importorskip("sklearn.metrics")
    lists = [requests == name for name in "abc"]
    areas = [metrics.roc_auc_score(clicks[own], scores[own]) for own in lists]
    ndcgs = [metrics.ndcg_score([clicks[own]], [scores[own]]) for own in lists]
    assert figures["click"]["requests"] == 3
    assert figures["click"]["request_auc"] == pytest.approx(np.mean(areas))
    assert figures["click"]["request_ndcg"] == pytest.approx(np.mean(ndcgs), abs=1e-6)
    assert figures["seconds"]["requests"] == 3
    assert "requests" not in score_metrics(tasks, given, labels, users)["click"]


def test_where_no_row_counts_there_is_no_figure(ranker, parts):
    nothing = parts.test.frame.with_columns(
        pl.lit(0).alias("click"), pl.lit(None, pl.Float64).alias("seconds")
    )
    found = evaluate(ranker, dataclasses.replace(parts.test, frame=nothing))["tasks"]
    for task in ("buy", "seconds", "odds", "stars"):
        assert found[task]["rows"] == 0
        assert set(found[task].values()) <= {None, 0}
    assert found["click"]["auc"] is None
    assert found["click"]["logloss"] > 0


def test_a_saved_ranker_measures_the_same(ranker, figures, parts, tmp_path):
    ranker.save(tmp_path / "ranker.keras")
    loaded = keras.models.load_model(tmp_path / "ranker.keras", compile=False)
    assert loaded.get_layer("scores").tasks == ranker.get_layer("scores").tasks
    assert evaluate(loaded, parts.test)["tasks"] == figures
