import json

import numpy as np
import pytest
from support.processes import run

from keras_smes.training.checkpoints import Checkpoints
from keras_smes.training.loop.resume import Checkpointer, fingerprint

ARRAYS = {
    "model/0": np.arange(6, dtype="float32").reshape(2, 3),
    "model/1": np.array(True),
    "model/2": np.array([1, 2], "uint32"),
    "empty/0": np.zeros((0, 4), "float32"),
}


def written(folder, numbers=(3,)):
    checkpoints = Checkpoints(folder)
    for number in numbers:
        checkpoints.write(number, {"number": number}, {**ARRAYS, "own": np.full(1000, number)})
    return checkpoints


def test_what_was_written_comes_back(tmp_path):
    meta, arrays = written(tmp_path / "checkpoints").latest()
    assert meta == {"number": 3}
    for name, values in ARRAYS.items():
        assert arrays[name].dtype == values.dtype
        np.testing.assert_array_equal(arrays[name], values)


def test_none_is_none(tmp_path):
    assert Checkpoints(tmp_path / "checkpoints").latest() is None


def test_the_last_two_are_kept(tmp_path):
    checkpoints = written(tmp_path, (1, 20, 300))
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "step-000000000020.npz",
        "step-000000000300.npz",
    ]
    assert checkpoints.latest().meta == {"number": 300}


def cut(data):
    return data[: len(data) // 2]


def emptied(data):
    return b""


def one_bit_flipped(data):
    # Within the last array's values: 1000 numbers of 8 bytes, all 300 = 0x012c.
    place = data.rindex(b"\x2c\x01\x00\x00")
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("damage", [cut, emptied, one_bit_flipped])
def test_a_damaged_file_is_told_and_the_one_before_is_taken(tmp_path, damage):
    checkpoints = written(tmp_path, (20, 300))
    last = tmp_path / "step-000000000300.npz"
    last.write_bytes(damage(last.read_bytes()))
    with pytest.warns(UserWarning, match="step-000000000300.npz can't be read"):
        found = checkpoints.latest()
    assert found.meta == {"number": 20}
    np.testing.assert_array_equal(found.arrays["own"], np.full(1000, 20))


def test_all_damaged_is_an_error(tmp_path):
    checkpoints = written(tmp_path)
    (tmp_path / "step-000000000003.npz").write_bytes(b"PK")
    with pytest.warns(UserWarning, match="can't be read"), pytest.raises(OSError, match="start over"):
        checkpoints.latest()


def test_what_a_killed_writer_leaves_is_passed_over_and_cleared(tmp_path):
    folder = tmp_path / "checkpoints"
    checkpoints = written(folder)
    (folder / ".partial-step-000000000009.npz").write_bytes(b"PK half")
    assert checkpoints.latest().meta == {"number": 3}
    checkpoints.clear()
    assert not folder.exists()
    checkpoints.clear()


def test_clearing_leaves_what_is_not_ours(tmp_path):
    checkpoints = written(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    checkpoints.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_at_least_one_is_kept(tmp_path):
    with pytest.raises(ValueError, match="keep=0"):
        Checkpoints(tmp_path, keep=0)


CONFIG = {"data": "simulated", "optimizer": {"name": "adam", "warmup_steps": 0}, "seed": 3}


def test_a_session_takes_up_the_same_run(tmp_path):
    session = Checkpointer(tmp_path / "checkpoints", CONFIG, minutes=0)
    assert session.resume("digest") is None
    session.write(5, {"epoch": 1}, ARRAYS)
    again = Checkpointer(tmp_path / "checkpoints", json.loads(json.dumps(CONFIG))).resume("digest")
    assert again.meta["progress"] == {"epoch": 1}
    np.testing.assert_array_equal(again.arrays["model/0"], ARRAYS["model/0"])


def test_another_configuration_is_refused_by_its_keys(tmp_path):
    session = Checkpointer(tmp_path / "checkpoints", CONFIG)
    session.resume("digest")
    session.write(5, {}, ARRAYS)
    other = {"data": "simulated", "optimizer": {"name": "sgd", "warmup_steps": 0}, "seed": 4}
    with pytest.raises(ValueError, match=r"differing keys \['optimizer.name', 'seed'\]"):
        Checkpointer(tmp_path / "checkpoints", other).resume("digest")


def test_other_rows_are_refused(tmp_path):
    session = Checkpointer(tmp_path / "checkpoints", CONFIG)
    session.resume("digest")
    session.write(5, {}, ARRAYS)
    with pytest.raises(ValueError, match="same rows"):
        Checkpointer(tmp_path / "checkpoints", CONFIG).resume("another")


def test_a_checkpoint_is_due_after_its_minutes(tmp_path):
    assert Checkpointer(tmp_path, CONFIG, minutes=0).is_due
    assert not Checkpointer(tmp_path, CONFIG, minutes=60).is_due


def test_a_fingerprint_is_of_names_types_shapes_and_values():
    rows = {"a": np.arange(6, dtype="int32"), "b": np.ones(6, "float32")}
    changed = [
        {**rows, "b": np.array([1, 1, 1, 1, 1, 2], "float32")},
        {**rows, "a": np.arange(6, dtype="int64")},
        {**rows, "a": np.arange(6, dtype="int32").reshape(2, 3)},
        {"a": rows["a"], "c": rows["b"]},
    ]
    assert fingerprint([rows]) == fingerprint([{name: values.copy() for name, values in rows.items()}])
    assert len({fingerprint([other]) for other in [rows, *changed]}) == 5


OF_STRINGS = """
import numpy as np
from keras_smes.training.loop.resume import fingerprint
texts = ["".join(["a", letter]) for letter in "bcd"]  # made anew, at addresses of their own
print(fingerprint([{"tag": np.array(texts, dtype=object)}]))
"""


def test_a_fingerprint_of_strings_is_the_same_in_another_process(tmp_path):
    other = run(OF_STRINGS, (), tmp_path / "log")
    assert other.wait() == 0, other.output
    tags = [
        np.array(texts, dtype=object)
        for texts in (["ab", "ac", "ad"], ["aba", "c", "ad"], ["ab", "ac", "ae"])
    ]
    found = [fingerprint([{"tag": own}]) for own in tags]
    assert found[0] == other.output.strip()
    assert len(set(found)) == 3
