"""Metrics without a group of users, against scikit-learn on the rows that are left."""

import numpy as np
import pytest

pytest.importorskip("polars", reason='needs the extra "data"')

from sklearn.metrics import roc_auc_score

from keras_smes.experiments.intervals import pseudo_values
from keras_smes.experiments.user_groups import NUM_GROUPS, groups_of_users, metrics_without_groups
from keras_smes.metrics import auc
from keras_smes.tasks import BinaryTask, RegressionTask


def made_up(rows=3000, users=400, seed=0):
    rng = np.random.default_rng(seed)
    users_n = rng.integers(0, users, rows)
    taste_n = rng.normal(0, 1, users)[users_n]
    scores_n = taste_n + rng.normal(0, 1, rows)
    labels_n = (scores_n + rng.normal(0, 2, rows) > 0).astype(np.float32)
    return users_n, scores_n, labels_n


def test_rows_of_a_user_are_in_one_group_whatever_the_other_rows_are():
    users_n = np.array(["ann", "bob", "ann", None, None], object)
    groups_n = groups_of_users(users_n)
    assert groups_n[0] == groups_n[2]
    assert groups_n[3] != groups_n[4]  # rows of no user are not rows of one user
    np.testing.assert_array_equal(groups_of_users(users_n[1:3]), groups_n[1:3])


def test_groups_are_of_nearly_equal_size():
    rows_g = np.bincount(groups_of_users(np.arange(50_000)), minlength=NUM_GROUPS)
    assert 900 < rows_g.min() <= rows_g.max() < 1100


def test_each_group_is_left_out():
    users_n, scores_n, labels_n = made_up()
    tasks = [BinaryTask("click"), RegressionTask("seconds")]
    labels = {"click": labels_n, "seconds": scores_n}
    found = metrics_without_groups(tasks, {"click": scores_n, "seconds": scores_n}, labels, users_n)
    assert list(found) == ["click_auc", "click_gauc"]
    for group in (0, 7, NUM_GROUPS - 1):
        kept_n = groups_of_users(users_n) != group
        expected = roc_auc_score(labels_n[kept_n], scores_n[kept_n])
        assert found["click_auc"][group] == pytest.approx(expected, abs=1e-8)


def test_rows_that_do_not_count_are_left_out():
    users_n, scores_n, labels_n = made_up(600)
    labels_n[:200] = np.nan
    (found,) = metrics_without_groups(
        [BinaryTask("click")], {"click": scores_n}, {"click": labels_n}, users_n
    )["click_auc"][3:4]
    kept_n = (groups_of_users(users_n) != 3) & ~np.isnan(labels_n)
    assert found == pytest.approx(roc_auc_score(labels_n[kept_n], scores_n[kept_n]), abs=1e-8)


def test_a_metric_that_is_not_defined_is_none():
    users_n, labels_n = np.array([1, 2]), np.array([0.0, 1.0])
    found = metrics_without_groups([BinaryTask("click")], {"click": labels_n}, {"click": labels_n}, users_n)
    group = groups_of_users(users_n)[1]
    assert found["click_auc"][group] is None
    assert found["click_auc"][(group + 1) % NUM_GROUPS] == 1.0


def test_pseudo_values_vary_as_the_auc_does_over_other_users():
    # The jackknife's standard error of one sample beside the spread of the AUC over 300 samples.
    aucs = [auc(labels_n, scores_n) for _, scores_n, labels_n in (made_up(seed=s) for s in range(300))]
    users_n, scores_n, labels_n = made_up(seed=1000)
    without = metrics_without_groups([BinaryTask("c")], {"c": scores_n}, {"c": labels_n}, users_n)["c_auc"]
    pseudo_g = pseudo_values(auc(labels_n, scores_n), without)
    assert pseudo_g.std(ddof=1) / NUM_GROUPS**0.5 == pytest.approx(np.std(aucs), rel=0.3)
