import pytest

from keras_smes.export import publish


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
