"""Files and sets of files: whole or not at all, whoever else writes, is killed, or has no space left."""

import errno
import os
import threading
from pathlib import Path

import pytest
from support.processes import run

from keras_smes.files import clear_partial, named_errors, whole_set, write_whole


def test_two_writers_of_one_file_never_meet(tmp_path):
    path, errors = tmp_path / "results.json", []

    def work(text):
        try:
            for _ in range(200):
                write_whole(path, lambda file: file.write(text))
                assert path.read_bytes() in (b"a" * 4000, b"b" * 40_000)
        except (OSError, AssertionError) as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(text,)) for text in (b"a" * 4000, b"b" * 40_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("old")

    def fill(file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        write_whole(path, fill)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


SET = ("config", "model", "routing", "metrics")
REPLACE = """
import os, sys
from pathlib import Path
from keras_smes.files import whole_set
folder, left, rename = Path(sys.argv[1]), int(sys.argv[2]), os.replace

def replace(source, target):
    global left
    if not left:
        os._exit(9)
    left -= 1
    rename(source, target)

os.replace = replace
with whole_set(folder, ("config", "model", "routing", "metrics")) as write:
    for name in ("metrics", "model", "config"):
        write(name, lambda path: path.write_text("new"))
"""


def texts(folder):
    return {name: (folder / name).read_text() for name in SET if (folder / name).exists()}


@pytest.mark.parametrize("renames", range(4))
def test_a_set_that_a_killed_writer_left_is_the_old_one_or_lacks_its_last_file(
    tmp_path, tmp_path_factory, renames
):
    for name in SET:
        (tmp_path / name).write_text("old")
    process = run(REPLACE, (tmp_path, renames), tmp_path_factory.mktemp("replace") / "log")
    assert process.wait() == (9 if renames < 3 else 0), process.output
    if renames < 3:
        assert "metrics" not in texts(tmp_path)
    else:  # what the new set doesn't have is gone, too
        assert texts(tmp_path) == dict.fromkeys(("config", "model", "metrics"), "new")
    clear_partial(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(texts(tmp_path))


def test_a_set_that_can_not_be_written_leaves_the_old_one(tmp_path):
    for name in SET:
        (tmp_path / name).write_text("old")

    def fill(path):
        path.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def replace():
        with whole_set(tmp_path, SET) as write:
            write("config", lambda path: path.write_text("new"))
            write("model", fill)

    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / 'model'}'"):
        replace()
    assert texts(tmp_path) == dict.fromkeys(SET, "old")
    assert {path.name for path in tmp_path.iterdir()} == set(SET)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_device_is_written_to_as_it_is_and_a_full_one_is_named():
    write_whole(Path("/dev/null"), lambda file: file.write(b"some"))
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_whole(Path("/dev/full"), lambda file: file.write(b"some"))
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "[Errno 28] No space left on device: 'log.csv'"),
        (OSError("Can't write data"), "log.csv can't be written: Can't write data"),
    ],
)
def test_errors_of_writing_name_the_file(error, text):
    with pytest.raises(OSError) as caught, named_errors(Path("log.csv")):  # noqa: PT011  its text is compared
        raise error
    assert str(caught.value) == text
