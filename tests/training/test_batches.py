import numpy as np
import pytest

from keras_smes.training.batches import batches

pytestmark = pytest.mark.tensorflow

FEATURES = {"id": np.arange(10), "x": np.arange(10) / 2}
LABELS = {"click": (np.arange(10) % 3 == 0).astype("float32")}


def rows_of(dataset):
    rows = []
    for features, labels in dataset:
        rows += zip(features["id"].numpy().tolist(), labels["click"].numpy().tolist(), strict=True)
    return rows


def test_every_row_once_in_order_with_its_label():
    dataset = batches(FEATURES, LABELS, batch_size=4)
    assert [len(features["id"]) for features, _ in dataset] == [4, 4, 2]
    assert rows_of(dataset) == list(enumerate(LABELS["click"].tolist()))


def test_a_seed_fixes_an_order_that_differs_by_epoch():
    first, again = (batches(FEATURES, LABELS, 4, seed=5) for _ in range(2))
    epochs = [rows_of(first), rows_of(first)]
    assert epochs == [rows_of(again), rows_of(again)]
    assert epochs[0] != epochs[1]
    for rows in epochs:
        assert sorted(rows) == list(enumerate(LABELS["click"].tolist()))
