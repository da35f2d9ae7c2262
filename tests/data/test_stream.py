from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_smes.data.kuairand_store import store_kuairand
from keras_smes.data.packing import Packing
from keras_smes.data.past.stored import split_with_past
from keras_smes.data.stored import StoredInteractions
from keras_smes.data.stream import Stream

Write = Callable[..., Path]
Batches = list[tuple[dict[str, np.ndarray], ...]]


@pytest.fixture(scope="module")
def stored(write_random_release: Write, tmp_path_factory: pytest.TempPathFactory) -> StoredInteractions:
    folder = tmp_path_factory.mktemp("stream")
    release = write_random_release(folder, 3000)
    whole = store_kuairand("pure", release, folder / "cache", history=3, part_rows=120, verbose=0)
    return split_with_past(whole, verbose=0).train


def epoch(stream: Stream, *arguments: Any, **options: Any) -> Batches:
    import tensorflow as tf

    return [
        tf.nest.map_structure(lambda tensor: tensor.numpy(), batch)
        for batch in stream.epoch(*arguments, **options)
    ]


def joined(batches: Batches, part: int, name: str) -> np.ndarray:
    return np.concatenate([batch[part][name] for batch in batches])


def moments(batches: Batches) -> list[tuple[int, int]]:
    return list(
        zip(joined(batches, 0, "user_id").tolist(), joined(batches, 0, "video_id").tolist(), strict=True)
    )


def test_in_order_of_time_every_column_is_that_of_the_rows(stored: StoredInteractions) -> None:
    batches = epoch(Stream(stored, 64))
    rows = stored.read()
    assert len(batches) == Stream(stored, 64).steps
    assert [len(batch[1]["click"]) for batch in batches[:-1]] == [64] * (len(rows) // 64)
    columns, labels = rows.columns(), rows.labels()
    assert sorted(batches[0][0]) == sorted(columns)
    for name, values in columns.items():
        received = joined(batches, 0, name)
        if values.dtype == object:
            received = np.array([text.decode() for text in received], object)
        assert received.dtype == values.dtype
        np.testing.assert_array_equal(received, values, err_msg=name)
    for name, values in labels.items():
        np.testing.assert_array_equal(joined(batches, 1, name), values)


def test_the_order_is_of_seed_and_epoch_alone(stored: StoredInteractions) -> None:
    orders = {key: moments(epoch(Stream(stored, 64), *key)) for key in ((0, 1), (1, 1), (0, 2))}
    for key, order in orders.items():
        assert moments(epoch(Stream(stored, 64), *key)) == order  # another stream
        assert sorted(order) == sorted(orders[0, 1])
    assert len({tuple(order) for order in orders.values()}) == 3
    assert moments(epoch(Stream(stored, 7), 1, 1)) == orders[1, 1]  # whatever the batches


def test_rows_are_mixed_across_and_within_parts(stored: StoredInteractions) -> None:
    place = {moment: k for k, moment in enumerate(moments(epoch(Stream(stored, 64))))}
    order = np.array([place[moment] for moment in moments(epoch(Stream(stored, 64), 0, 1))])
    # Correlation of the place in the epoch with that in time, and of neighbours.
    assert abs(np.corrcoef(order, np.arange(len(order)))[0, 1]) < 0.5
    assert np.mean(np.abs(np.diff(order)) < 20) < 0.2


@pytest.mark.parametrize("skip", [1, 19, 10_000])
def test_an_epoch_goes_on_where_it_was_left(
    stored: StoredInteractions, skip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = epoch(Stream(stored, 64), 3, 1)
    read: list[int] = []
    reading = StoredInteractions.read
    monkeypatch.setattr(
        StoredInteractions, "read", lambda self, parts: read.append(len(parts)) or reading(self, parts)
    )
    rest = epoch(Stream(stored, 64), 3, 1, first_step=skip)
    assert len(rest) == max(len(whole) - skip, 0)
    for one, other in zip(rest, whole[skip:], strict=True):
        np.testing.assert_array_equal(one[0]["video_id"], other[0]["video_id"])
        np.testing.assert_array_equal(one[1]["click"], other[1]["click"])
    unread = skip * 64 // (4 * max(map(stored.count, stored.parts)))  # chunks of four parts, at least
    assert sum(read) <= max(len(stored.parts) - 4 * unread, 0)


def prepare(columns: Any, labels: Any) -> Any:
    tags = np.array([len(tag) for tag in columns["tag"]], np.int32)
    return (
        {"ids": np.stack([columns["user_id"], columns["tab"]], axis=1), "tag": tags},
        labels,
        {"one": tags * 0 + 1},
    )


def test_rows_can_be_prepared_and_kept_prepared(
    stored: StoredInteractions, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = epoch(Stream(stored, 64, prepare), 2, 5)
    assert fresh[0][0]["ids"].shape == (64, 2)
    assert fresh[0][2]["one"].tolist() == [1] * 64
    stream = Stream(stored, 64, prepare)
    stream.store({"what": 1}, verbose=0)
    again = Stream(stored, 64, prepare)
    monkeypatch.setattr(StoredInteractions, "read", None)  # nothing is read or prepared any more
    again.store({"what": 1}, verbose=0)
    for kept in (stream, again):
        for one, other in zip(epoch(kept, 2, 5), fresh, strict=True):
            for part in range(3):
                for name in one[part]:
                    np.testing.assert_array_equal(one[part][name], other[part][name])
    with pytest.raises(TypeError):
        again.store({"what": 2}, verbose=0)


def test_rows_of_other_dates_are_prepared_apart(stored: StoredInteractions) -> None:
    first, last = stored.dates()
    some = stored.between(first, first)
    for rows in (stored, some):
        stream = Stream(rows, 64, prepare)
        stream.store({"what": 3}, verbose=0)
        assert sum(len(batch[1]["click"]) for batch in epoch(stream, 0, 1)) == len(rows)
    assert first < last


def test_packing_keeps_shapes_and_types() -> None:
    given = (
        {"a": np.arange(6).reshape(3, 2), "b": np.arange(3)},
        {"c": np.ones((3, 2, 2), np.float32), "d": np.array(["x", "y", ""], object)},
    )
    packing = Packing(given)
    packed = packing.pack(given)
    assert {dtype: matrix.shape for dtype, matrix in packed.items()} == {
        "int64": (3, 3),
        "float32": (3, 4),
        "object": (3, 1),
    }
    unpacked = packing.unpack(packed)
    for part, arrays in enumerate(given):
        for name, values in arrays.items():
            received = unpacked[part][name].numpy()
            assert received.shape == values.shape
            if name == "d":
                assert received.tolist() == [b"x", b"y", b""]
            else:
                np.testing.assert_array_equal(received, values)


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (lambda s: Stream(s, 0), "batch_size=0"),
        (lambda s: Stream(s, 1, chunk_parts=0), "chunk_parts=0"),
        (lambda s: next(Stream(s, 1).chunks(-1)), "epoch=-1"),
        (lambda s: next(Stream(s, 1).chunks(0, first_step=-1)), "first_step=-1"),
    ],
)
def test_bad_arguments_are_refused(
    stored: StoredInteractions, make: Callable[[StoredInteractions], Any], received: str
) -> None:
    with pytest.raises(ValueError, match=received):
        make(stored)
