"""The metrics of a binary task in one pass, against the functions that sort for each, and scikit-learn."""

import numpy as np
import pytest

from keras_smes import metrics
from keras_smes.metrics import binary
from keras_smes.metrics.ids import number_ids


def rows(count, users=40, decimals=2, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.random(count).round(decimals).astype(np.float32)
    labels = (rng.random(count) < scores).astype(np.float32)
    ids = np.array([None if n == 7 else f"user-{n}" for n in rng.integers(0, users, count)], object)
    return labels, scores, ids


@pytest.mark.parametrize("chunk", [2**20, 50, 1])
@pytest.mark.parametrize(("count", "decimals"), [(3000, 2), (3000, 7), (1, 2), (0, 2)])
def test_metrics_are_those_of_the_functions(count, decimals, chunk, monkeypatch):
    """Also where users and equal scores lie across chunks."""
    monkeypatch.setattr(binary, "CHUNK_ROWS", chunk)
    labels, scores, users = rows(count, decimals=decimals)
    found = binary.binary_metrics(labels, scores, number_ids("users", users))
    expected = metrics.gauc(labels, scores, users)
    np.testing.assert_equal(vars(found.gauc), vars(expected))
    np.testing.assert_equal(found.auc, metrics.auc(labels, scores))
    assert found.positives == labels.sum()
    for own, function in (
        (found.log_loss, metrics.log_loss),
        (found.predicted_over_observed, metrics.predicted_over_observed),
        (found.calibration_error, metrics.expected_calibration_error),
    ):
        assert own == pytest.approx(function(labels, scores), rel=1e-12, nan_ok=True)
    curve = metrics.reliability_curve(labels, scores, binning="mass")
    for ours, theirs in zip(vars(found.calibration).values(), vars(curve).values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_auc_is_that_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    labels, scores, users = rows(5000)
    found = binary.binary_metrics(labels, scores, number_ids("users", users))
    assert found.auc == pytest.approx(sklearn.roc_auc_score(labels, scores), rel=1e-12)
    assert found.log_loss == pytest.approx(sklearn.log_loss(labels, scores.astype(float)), rel=1e-4)


def test_the_order_of_rows_changes_no_bit(monkeypatch):
    monkeypatch.setattr(binary, "CHUNK_ROWS", 64)
    labels, scores, users = rows(2000)
    numbers, order = number_ids("users", users), np.random.default_rng(1).permutation(2000)
    ours = binary.binary_metrics(labels, scores, numbers)
    theirs = binary.binary_metrics(labels[order], scores[order], numbers[order])
    assert str(ours) == str(theirs)


def test_scores_that_are_no_probabilities_are_rejected():
    with pytest.raises(ValueError, match=r"`scores` must be in \[0, 1\]. Received: scores\[1\]=1.5"):
        binary.binary_metrics([0, 1], np.float32([0.5, 1.5]), np.zeros(2, np.int64))


@pytest.mark.parametrize(
    ("ids", "numbers"),
    [
        ([9, 7, 9], [2, 0, 2]),
        ([None, "b", "a"], [-1, 1, 0]),
        ([-(2**62), 2**62, 5], [0, 2, 1]),
        ([], []),
    ],
)
def test_ids_are_numbered_in_their_order(ids, numbers):
    assert number_ids("users", ids).tolist() == numbers
