import pytest

from keras_smes.training import EarlyStopping, MetricOfTask
from keras_smes.training.choice import Best


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


def test_small_gains_do_not_count_for_stopping():
    # From 0.60, each gain must be more than 0.015: 0.61 is not one, 0.62 is one over 0.60.
    metric = EarlyStopping("click", "auc", patience=2, min_delta=0.015)
    assert run(metric, [0.60, 0.61, 0.62, 0.63]) == [(0, 0), (0, 1), (2, 0), (2, 1)]


def test_a_metric_is_read_by_task_and_name():
    figures = {"click": {"auc": 0.7, "gauc": None}}
    assert MetricOfTask("click").of(figures) == 0.7
    with pytest.raises(ValueError, match="task='like'"):
        MetricOfTask("like").of(figures)
    with pytest.raises(ValueError, match="metric='f1'"):
        MetricOfTask("click", "f1").of(figures)
    with pytest.raises(ValueError, match="no gauc of task 'click'"):
        MetricOfTask("click", "gauc").of(figures)


@pytest.mark.parametrize(
    ("values", "message"), [({"patience": 0}, "patience=0"), ({"min_delta": -1.0}, "min_delta=-1.0")]
)
def test_refusals(values, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping("click", **values)
