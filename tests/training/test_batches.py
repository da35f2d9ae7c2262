import numpy as np
import pytest

from keras_smes.training.batches import PackedRows, batches, epoch_order

pytestmark = pytest.mark.tensorflow

FEATURES = {
    "id": np.arange(10, dtype="int32"),
    "x": (np.arange(10) / 2).astype("float32"),
    "history": np.arange(30, dtype="int32").reshape(10, 3),
}
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


def test_rows_keep_their_types_shapes_and_values():
    taken, labels = PackedRows((FEATURES, LABELS)).take([7, 2])
    for given, got in ((FEATURES, taken), (LABELS, labels)):
        assert list(got) == [name for name in got if name in given]
        for name, values in given.items():
            assert got[name].dtype == values.dtype
            np.testing.assert_array_equal(got[name], values[[7, 2]])


def test_rows_come_in_the_order_that_is_given():
    order = np.array([3, 9, 0, 1])
    dataset = PackedRows((FEATURES, LABELS)).batches(3, order)
    assert [row for row, _ in rows_of(dataset)] == order.tolist()
    assert rows_of(dataset) == [(row, float(row % 3 == 0)) for row in order]


def test_labels_may_be_missing():
    (features, labels), *_ = batches(FEATURES, {}, batch_size=10)
    assert labels == {}
    np.testing.assert_array_equal(features["history"], FEATURES["history"])


def test_the_order_is_of_seed_and_epoch_alone():
    order = epoch_order(1000, seed=5, epoch=3)
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    for _ in range(2):
        np.testing.assert_array_equal(epoch_order(1000, 5, 3), order)
    for other in (epoch_order(1000, 5, 4), epoch_order(1000, 6, 3)):
        assert (other != order).mean() > 0.9
