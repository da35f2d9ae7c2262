"""Packed rows: what goes in comes out, in the order of the seed and the epoch, from memory and from disk."""

import numpy as np
import pytest

from keras_smes.training.input import order
from keras_smes.training.input.order import LANES, epoch_order, groups
from keras_smes.training.input.packed_rows import RowsInMemory, RowsOnDisk
from keras_smes.training.input.packing import Packing

pytestmark = pytest.mark.tensorflow

ROWS = 5000
GENERATOR = np.random.default_rng(3)
FEATURES = {
    "id": np.arange(ROWS, dtype="int32"),
    "x": GENERATOR.normal(size=ROWS).astype("float32"),
    "history": np.arange(3 * ROWS, dtype="int32").reshape(ROWS, 3),
    "large": np.arange(2 * ROWS).reshape(ROWS, 2) + 2**40,
}
LABELS = {"click": (np.arange(ROWS) % 3 == 0).astype("float32")}


@pytest.fixture
def small_groups(monkeypatch):
    """Groups of 1024 rows in 32 blocks: five of them, and a rest."""
    monkeypatch.setattr(order, "BLOCK_ROWS", 32)
    monkeypatch.setattr(order, "GROUP_BLOCKS", 32)


@pytest.fixture(scope="module")
def in_memory():
    return RowsInMemory((FEATURES, LABELS))


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    packing = Packing.of((FEATURES, LABELS))
    path = tmp_path_factory.mktemp("rows") / "rows.words"
    packing.pack((FEATURES, LABELS)).tofile(path)
    return RowsOnDisk(path, Packing.from_config(packing.to_config()), ROWS)


def arrays(batches):
    return [
        [{name: np.array(values) for name, values in part.items()} for part in batch] for batch in batches
    ]


def ids(batches):
    return [batch[0]["id"].numpy().tolist() for batch in batches]


@pytest.mark.parametrize("where", ["in_memory", "on_disk"])
def test_rows_keep_their_types_shapes_and_values(where, request):
    rows = request.getfixturevalue(where)
    for (taken, labels), chosen in ((rows.take(np.array([7, 2])), [7, 2]), (rows.head(5), slice(5))):
        for given, got in ((FEATURES, taken), (LABELS, labels)):
            assert list(got) == list(given)
            for name, values in given.items():
                received = np.asarray(got[name])
                assert received.dtype == values.dtype
                np.testing.assert_array_equal(received, values[chosen])


def test_rows_come_in_the_order_that_is_given(in_memory):
    chosen = np.array([3, 9, 0, 1])
    assert ids(in_memory.batches(3, chosen)) == [[3, 9, 0], [1]]
    assert [row for batch in ids(in_memory.batches(64)) for row in batch] == list(range(ROWS))


def test_types_of_other_sizes_are_rejected():
    with pytest.raises(ValueError, match="'half' of float16"):
        RowsInMemory(({"half": np.zeros(3, np.float16)},))


def test_a_file_of_another_size_is_rejected(tmp_path):
    (tmp_path / "rows").write_bytes(b"1234")
    with pytest.raises(ValueError, match=r"must have 2 rows of 4 bytes\. Received: 4 bytes"):
        RowsOnDisk(tmp_path / "rows", Packing.of(({"x": np.zeros(2, np.float32)},)), 2)


def test_the_order_is_of_seed_and_epoch_alone(small_groups):
    for rows in (1000, ROWS):
        found = epoch_order(rows, seed=5, epoch=3)
        np.testing.assert_array_equal(np.sort(found), np.arange(rows))
        np.testing.assert_array_equal(epoch_order(rows, 5, 3), found)
        for other in (epoch_order(rows, 5, 4), epoch_order(rows, 6, 3)):
            assert (other != found).mean() > 0.9


def test_a_single_group_is_shuffled_as_a_whole():
    expected = np.random.default_rng((7, 2)).permutation(100_000)
    np.testing.assert_array_equal(epoch_order(100_000, 7, 2), expected)


def test_rows_are_mixed_across_and_within_blocks(small_groups):
    found = epoch_order(ROWS, 0, 1)
    assert abs(np.corrcoef(found, np.arange(ROWS))[0, 1]) < 0.3
    assert np.mean(np.abs(np.diff(found)) < 20) < 0.1
    assert [group.first for group in groups(ROWS, 0, 1)] == [0, 1024, 2048, 3072, 4096, 4608]


@pytest.mark.parametrize("piece", [(0, 1), (1, 2), (2, 3), (3, 4)])
@pytest.mark.parametrize("batch_size", [64, 63, 700])
def test_disk_gives_the_batches_of_memory(small_groups, in_memory, on_disk, batch_size, piece):
    for epoch, step in ((0, 0), (1, 3), (1, ROWS // batch_size)):
        expected = arrays(in_memory.epoch(5, epoch, batch_size, step, piece))
        np.testing.assert_equal(arrays(on_disk.epoch(5, epoch, batch_size, step, piece)), expected)
        assert len(expected) == -(-ROWS // batch_size) - step


def test_a_group_is_the_whole_of_few_rows(in_memory, on_disk):
    np.testing.assert_equal(arrays(on_disk.epoch(1, 0, 512)), arrays(in_memory.epoch(1, 0, 512)))


@pytest.mark.parametrize("workers", [2, 4, LANES])
def test_each_worker_reads_its_share_of_the_bytes(small_groups, on_disk, monkeypatch, workers):
    reading, counts = RowsOnDisk.read, []

    def counted(self, file, rows, out):
        counts.append(len(rows))
        reading(self, file, rows, out)

    monkeypatch.setattr(RowsOnDisk, "read", counted)
    read = []
    for worker in range(workers):
        counts.clear()
        list(on_disk.epoch(0, 0, 64, piece=(worker, workers)))
        read.append(sum(counts))
    rest = ROWS - 4608  # less than a block a lane: read by all
    assert read == [4608 // workers + rest] * workers


def test_a_later_step_skips_groups_unread(small_groups, on_disk, monkeypatch):
    read = []
    monkeypatch.setattr(RowsOnDisk, "read", lambda self, file, rows, out: read.append(len(rows)))
    list(on_disk.epoch(0, 0, 64, first_step=4096 // 64))
    assert sum(read) == ROWS - 4096


def test_a_digest_is_of_types_names_and_values(in_memory, on_disk):
    assert in_memory.digest() == on_disk.digest()
    others = (
        ({**FEATURES, "x": -FEATURES["x"]}, LABELS),
        ({**FEATURES, "x": FEATURES["id"]}, LABELS),
        (FEATURES, {"like": LABELS["click"]}),
    )
    assert len({in_memory.digest(), *(RowsInMemory(parts).digest() for parts in others)}) == 4


def test_chunks_are_all_rows_in_order(on_disk, monkeypatch):
    monkeypatch.setattr("keras_smes.training.input.packed_rows.CHUNK_ROWS", 600)
    for share in ((0, 1), (1, 2)):
        found = [(which, features["id"]) for which, (features, _) in on_disk.chunks(share)]
        assert [which.start for which, _ in found] == list(range(600 * share[0], ROWS, 600 * share[1]))
        for which, values in found:
            np.testing.assert_array_equal(values, FEATURES["id"][which])
