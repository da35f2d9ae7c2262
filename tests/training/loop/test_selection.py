import numpy as np
import pytest

from keras_smes.training import EarlyStopping, MetricOfTask
from keras_smes.training.loop.selection import Best


def run(metric, values):
    """The best after each epoch, as (its number, epochs since)."""
    best, seen = Best(), []
    for epoch, value in enumerate(values):
        best = best.after(epoch, value, metric)
        seen.append((best.epoch, best.waited))
    return seen


def test_more_auc_is_better_and_a_tie_stays_with_the_earlier():
    values = [0.60, 0.62, 0.62, 0.61, 0.63]
    assert run(MetricOfTask("click", "auc"), values) == [(0, 0), (1, 0), (1, 1), (1, 2), (4, 0)]


def test_less_loss_is_better():
    assert run(MetricOfTask("click", "logloss"), [0.5, 0.6, 0.4]) == [(0, 0), (0, 1), (2, 0)]
    assert run(MetricOfTask("watch_time", "mae"), [3.0, 2.0, 2.5]) == [(0, 0), (1, 0), (1, 1)]


def test_nearer_to_one_is_better_where_one_is_best():
    ratio = MetricOfTask("click", "predicted_over_observed")
    assert run(ratio, [0.2, 1.0, 0.01, 1.3]) == [(0, 0), (1, 0), (1, 1), (1, 2)]
    assert run(ratio, [1.4, 0.9, 1.05]) == [(0, 0), (1, 0), (2, 0)]
    early = EarlyStopping("click", "predicted_over_observed", patience=1, min_delta=0.25)
    assert run(early, [0.5, 0.625, 0.875]) == [(0, 0), (0, 1), (2, 0)]  # gains of 0.125 and 0.375


@pytest.mark.parametrize("metric", ["positives", "rows", "gauc_users", "calibration", "f1"])
@pytest.mark.parametrize("kind", [MetricOfTask, EarlyStopping])
def test_a_metric_without_an_order_is_rejected_by_name(kind, metric):
    with pytest.raises(ValueError, match=f"metric='{metric}'"):
        kind("click", metric)


def test_every_number_that_is_measured_has_an_order_or_is_a_count():
    from keras_smes.tasks import BinaryTask, OrdinalTask
    from keras_smes.training.evaluate import score_metrics
    from keras_smes.training.loop.selection import gain_of

    tasks = [BinaryTask("click"), OrdinalTask("watch", thresholds=(1.0, 2.0))]
    labels = {"click": np.array([0.0, 1.0]), "watch": np.array([0.5, 2.5])}
    scores = {"click": np.array([0.2, 0.7]), "watch": np.array([0.0, 2.0])}
    measured = score_metrics(tasks, scores, labels, np.zeros(2))
    without = {name for own in measured.values() for name in own if gain_of(name) is None}
    of_users = {"gauc_users", "gauc_users_left_out", "gauc_rows_without_user"}
    assert without == {"rows", "positives", "calibration", *of_users}


def test_small_gains_do_not_count_for_stopping():
    # From 0.60, each gain must be more than 0.015: 0.61 is not one, 0.62 is one over 0.60.
    metric = EarlyStopping("click", "auc", patience=2, min_delta=0.015)
    assert run(metric, [0.60, 0.61, 0.62, 0.63]) == [(0, 0), (0, 1), (2, 0), (2, 1)]


def test_a_metric_is_read_by_task_and_name():
    figures = {"click": {"auc": 0.7, "gauc": None}}
    assert MetricOfTask("click").of(figures) == 0.7
    with pytest.raises(ValueError, match="task='like'"):
        MetricOfTask("like").of(figures)
    with pytest.raises(ValueError, match="metric='logloss'"):
        MetricOfTask("click", "logloss").of(figures)
    with pytest.raises(ValueError, match="no gauc of task 'click'"):
        MetricOfTask("click", "gauc").of(figures)


@pytest.mark.parametrize(
    ("values", "message"), [({"patience": 0}, "patience=0"), ({"min_delta": -1.0}, "min_delta=-1.0")]
)
def test_refusals(values, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping("click", **values)
