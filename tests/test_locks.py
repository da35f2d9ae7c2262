"""Locks against a second process: it is rejected by the name of the first, and a dead one holds nothing."""

import os
import socket
import threading

import pytest
from support.processes import hold_lock

pytest.importorskip("filelock", reason='needs the extra "data"')

from keras_smes.locks import LockedError, locked


@pytest.fixture
def hold(tmp_path_factory):
    """Starts processes that hold a lock until they are ended."""
    processes = []

    def start(*arguments):
        processes.append(hold_lock(tmp_path_factory.mktemp("hold") / "log", *arguments))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


def test_a_second_process_is_rejected_by_the_name_of_the_first(hold, tmp_path):
    first = hold(tmp_path / "run")
    with (
        pytest.raises(LockedError, match=f"held by process {first.pid} on {socket.gethostname()}"),
        locked(tmp_path / "run"),
    ):
        pass
    with locked(tmp_path / "other"):  # another folder is another lock
        pass


def test_a_process_that_was_killed_holds_nothing(hold, tmp_path):
    first = hold(tmp_path)
    first.kill()
    with locked(tmp_path):
        assert f'"process": {os.getpid()}' in (tmp_path / ".lock.holder").read_text()
    assert list(tmp_path.iterdir()) == []


def test_parts_of_a_folder_are_held_apart(hold, tmp_path):
    hold(tmp_path, "seed-0")
    with locked(tmp_path, "seed-1"):
        pass
    with pytest.raises(LockedError, match="its seed-0 held by process"), locked(tmp_path, "seed-0"):
        pass


def test_whoever_waits_gets_it_after_the_first(hold, tmp_path):
    first, got = hold(tmp_path), threading.Event()

    def wait():
        with locked(tmp_path, wait=True):
            got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not got.wait(0.3)
    first.log.unlink()  # lets go
    assert got.wait(30)
    thread.join()
    assert list(tmp_path.iterdir()) == []


def test_an_error_within_lets_go(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError("any")
    with locked(tmp_path):
        pass
