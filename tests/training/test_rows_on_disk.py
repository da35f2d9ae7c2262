"""Rows on disk train, validate and evaluate as the same rows in memory do, to the bit."""

import dataclasses
import datetime
import json
import signal

import numpy as np
import polars as pl
import pytest
from support.processes import run

from keras_smes.data import StoredInteractions, split_with_past, store_kuairand, write_made_up_kuairand
from keras_smes.data.split_config import cut
from keras_smes.data.store.part import Part
from keras_smes.training import (
    Checkpointer,
    RunConfig,
    SplitConfig,
    TrainingConfig,
    evaluate,
    fit_ranker,
)
from keras_smes.training.input import order
from keras_smes.training.input.packed_rows import RowsOnDisk
from keras_smes.training.input.prepared import prepare

pytestmark = pytest.mark.tensorflow


DAY = datetime.timedelta(days=1)
CONFIG = RunConfig(
    "kuairand-pure",
    experts={"num_experts": 4, "num_shared": 1, "expert_units": (4,)},
    tower_units=(4,),
    training=TrainingConfig(epochs=2, batch_size=64),
)


def open_log(folder):
    """The rows on disk of a release that was made up in the folder."""
    return store_kuairand("pure", folder, folder / "cache", history=3, part_rows=300, verbose=0)


def cut_log(folder):
    stored = open_log(folder)
    first, last = stored.dates()
    return split_with_past(stored, train_until=last - (last - first) // 4, verbose=0)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    write_made_up_kuairand(folder, rows=3000, users=60, videos=80, days=12)
    return cut_log(folder)


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    monkeypatch.setattr(order, "BLOCK_ROWS", 32)
    monkeypatch.setattr(order, "GROUP_BLOCKS", 16)


@pytest.fixture(scope="module")
def both(parts):
    """Fitted in memory, and from disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "BLOCK_ROWS", 32)
        patch.setattr(order, "GROUP_BLOCKS", 16)
        memory = fit_ranker(CONFIG, parts.train.read(), parts.test.read(), verbose=0)
        disk = fit_ranker(CONFIG, parts.train, parts.test, verbose=0)
    return memory, disk


def test_the_weights_are_the_same_bits(both):
    memory, disk = both
    assert memory.schema == disk.schema
    for ours, theirs in zip(memory.ranker.get_weights(), disk.ranker.get_weights(), strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_the_history_is_the_same(both):
    memory, disk = both
    assert json.dumps(memory.history) == json.dumps(disk.history)
    assert memory.history["val_loss"][1] < memory.history["val_loss"][0]


def test_an_evaluation_is_the_same(both, parts):
    ranker = both[0].ranker
    from_disk, in_memory = evaluate(ranker, parts.test), evaluate(ranker, parts.test.read())
    assert json.dumps(from_disk["tasks"]) == json.dumps(in_memory["tasks"])
    # The entropy of a row may differ in its last bit with the row's place in its batch.
    assert from_disk["routing"]["expert_load"] == in_memory["routing"]["expert_load"]
    assert from_disk["instance"]["shared"] == in_memory["instance"]["shared"]


def test_prepared_rows_are_found_again(parts, monkeypatch):
    first = prepare(parts.train)
    assert isinstance(first.rows, RowsOnDisk)
    monkeypatch.setattr(type(parts.train), "pieces", lambda self: pytest.fail("prepared again"))
    schema = first.schema
    monkeypatch.setattr("keras_smes.training.input.prepared.fit_schema", lambda *_: schema)
    assert prepare(parts.train).rows.path == first.rows.path


def test_prepared_rows_follow_their_files(parts, tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    rows = parts.train.read()
    days = dict(rows.frame["date"].value_counts().rows())
    found = []
    for frame in (rows.frame, rows.frame.with_columns(click=1 - pl.col("click"))):
        frame.write_parquet(folder / "0.parquet")
        roles = dataclasses.replace(rows, frame=frame.clear())
        stored = StoredInteractions(roles, tmp_path, (Part("0.parquet", days),))
        _, targets, _ = prepare(stored).rows.head(len(rows))
        found.append(targets["click"])
    np.testing.assert_array_equal(found[1], 1 - found[0])


def test_it_resumes_under_another_bound_of_memory(both, parts, tmp_path):
    """The first epoch from disk, the second from memory."""
    training = dataclasses.replace(CONFIG.training, epochs=2)
    config = dataclasses.replace(CONFIG, training=training)

    class StopError(Exception):
        pass

    class Stopping(Checkpointer):
        def write(self, steps, progress, arrays):
            super().write(steps, progress, arrays)
            raise StopError

    with pytest.raises(StopError):
        fit_ranker(config, parts.train, parts.test, verbose=0, session=Stopping(tmp_path, {}))
    again = fit_ranker(
        config, parts.train.read(), parts.test.read(), verbose=0, session=Checkpointer(tmp_path, {})
    )
    for ours, theirs in zip(again.ranker.get_weights(), both[1].ranker.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_rows_on_disk_are_cut_by_days(parts):
    with pytest.raises(ValueError, match=r"cut by days.*Received: \['by', 'test_fraction'\]"):
        cut(parts.train, SplitConfig(test_fraction=0.2, by="hash"))


KILLED = """
import os, pathlib, signal, sys
from training.test_rows_on_disk import CONFIG, cut_log
from keras_smes.training import Checkpointer, fit_ranker
from keras_smes.training.input import order

order.BLOCK_ROWS, order.GROUP_BLOCKS = 32, 16
folder, lives = pathlib.Path(sys.argv[1]), int(sys.argv[2])


class Killed(Checkpointer):
    def write(self, steps, progress, arrays):
        global lives
        super().write(steps, progress, arrays)
        lives -= 1
        if not lives:
            os.kill(os.getpid(), signal.SIGKILL)


parts = cut_log(folder)
fitted = fit_ranker(CONFIG, parts.train, verbose=0, session=Killed(folder / "state", {}, minutes=0))
fitted.ranker.save_weights(folder / "killed.weights.h5")
"""


def test_a_training_that_is_killed_within_an_epoch_resumes_to_the_same_bits(tmp_path):
    write_made_up_kuairand(tmp_path, rows=3000, users=60, videos=80, days=12)
    whole = fit_ranker(CONFIG, cut_log(tmp_path).train, verbose=0).ranker
    lives = [*np.random.default_rng().integers(1, 3, size=2), 1000]
    for life in lives:
        process = run(KILLED, (tmp_path, life), tmp_path / "log")
        assert process.wait() == (0 if life == lives[-1] else -signal.SIGKILL), (lives, process.output)
    expected = [values.tobytes() for values in whole.get_weights()]
    whole.load_weights(tmp_path / "killed.weights.h5")
    assert [values.tobytes() for values in whole.get_weights()] == expected, lives
