import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from keras_smes.export import publish

PATH = sys.modules[publish.__module__].__file__


def write(folder):
    folder.mkdir()
    (folder / "saved_model.pb").write_text("graph")


def test_versions_count_up_from_the_highest(tmp_path):
    assert publish(write, tmp_path / "smes").name == "1"
    assert publish(write, tmp_path / "smes", version=7).name == "7"
    assert publish(write, tmp_path / "smes").name == "8"
    (tmp_path / "smes" / "notes").mkdir()
    assert publish(write, tmp_path / "smes").name == "9"


def test_a_version_is_never_written_over(tmp_path):
    publish(write, tmp_path, version=3)
    with pytest.raises(FileExistsError, match="version=3"):
        publish(write, tmp_path, version=3)
    (tmp_path / "00000004").mkdir()  # TF Serving reads this as 4
    with pytest.raises(FileExistsError, match="version=4"):
        publish(write, tmp_path, version=4)


def test_a_failed_write_leaves_nothing(tmp_path):
    def fail(folder):
        write(folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        publish(fail, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_looks_like_a_version_exists_before_it_is_whole(tmp_path):
    def look(folder):
        write(folder)
        assert not any(child.name.isdecimal() for child in tmp_path.iterdir())

    publish(look, tmp_path)


def test_versions_are_positive(tmp_path):
    with pytest.raises(ValueError, match="version=0"):
        publish(write, tmp_path, version=0)


# Publishes versions until it is killed; each has as many files as its number of the model says.
PUBLISHER = """
    import runpy, sys
    publish = runpy.run_path(sys.argv[2])["publish"]  # by itself, without TensorFlow

    def write(folder):
        folder.mkdir()
        for number in range(40):
            (folder / f"part{number}").write_bytes(bytes(1000))
        (folder / "saved_model.pb").write_text("whole")

    print("ready", flush=True)
    while True:
        print(publish(write, sys.argv[1]).name, flush=True)
"""


@pytest.fixture
def publishers(tmp_path):
    """Starts processes that publish without end."""
    started = []

    def start():
        command = [sys.executable, "-c", textwrap.dedent(PUBLISHER), str(tmp_path), PATH]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def whole(model_folder):
    """The versions, each of which must be whole."""
    numbers = sorted(int(child.name) for child in model_folder.iterdir() if child.name.isdecimal())
    for number in numbers:
        assert len(list((model_folder / str(number)).iterdir())) == 41
        assert (model_folder / str(number) / "saved_model.pb").read_text() == "whole"
    return numbers


def test_killed_at_any_moment_it_leaves_whole_versions(tmp_path, publishers):
    halves = 0
    for seed in range(4):
        process = publishers()
        process.stdout.readline()  # one version is there
        time.sleep(random.Random(seed).uniform(0.0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        numbers = whole(tmp_path)
        assert numbers == list(range(1, len(numbers) + 1))
        halves += len(list(tmp_path.glob(".staging-*")))
    assert halves > 0, "no kill fell into a write"
    publish(write, tmp_path)
    assert not list(tmp_path.glob(".*"))  # what the killed ones left is gone


def test_two_at_a_time_get_versions_of_their_own(tmp_path, publishers):
    processes = [publishers(), publishers()]
    said = [[int(process.stdout.readline()) for _ in range(5)] for process in processes]
    for process in processes:
        process.kill()
        said.append([int(line) for line in process.stdout.read().split()])
    flat = [number for numbers in said for number in numbers]
    assert len(set(flat)) == len(flat)
    assert set(flat) <= set(whole(tmp_path))


def test_a_version_that_appears_meanwhile_is_not_written_over(tmp_path):
    def slowly(folder):
        write(folder)
        (tmp_path / "1").mkdir()  # someone copies one by hand

    with pytest.raises(FileExistsError, match="version=1"):
        publish(slowly, tmp_path)
    assert list((tmp_path / "1").iterdir()) == []
