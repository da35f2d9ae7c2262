"""The accuracy gate on real rows: a ranker that doesn't beat a table of rates is broken."""

import pytest

from keras_smes.data import load, split_with_statistics
from keras_smes.training import RunConfig, evaluate, fit_ranker

pytestmark = pytest.mark.tensorflow

# A table of smoothed user + video + tab log-odds, no learning: (AUC, GAUC by impressions).
NO_LEARNING = {"click": (0.728, 0.623), "long_view": (0.727, 0.636)}


def test_smes_beats_the_table_without_learning(kuairand_folder):
    parts = split_with_statistics(load("kuairand-pure", kuairand_folder))
    assert (parts.description["train"]["last_date"], parts.description["test"]["first_date"]) == (
        "2022-05-04",
        "2022-05-05",
    )
    ranker = fit_ranker(RunConfig("kuairand-pure"), parts.train, verbose=0).ranker
    metrics = evaluate(ranker, parts.test)
    for task, (auc, gauc) in NO_LEARNING.items():
        assert metrics["tasks"][task]["auc"] > auc
        assert metrics["tasks"][task]["gauc"] > gauc
