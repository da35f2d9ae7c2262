import hashlib
import zipfile
from pathlib import Path

import pytest

from keras_smes.data.datasets import movielens
from keras_smes.data.datasets.movielens import WHEEL, WHEEL_SHA256, fetch_wheel, load_movielens_100k

FILES = {  # made up: no row of the real data is kept here
    "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "1\t10\t5\t100000\n2\t10\t2\t90000\n1\t11\t4\t90000\n1\t11\t4\t90000\n2\t12\t3\t180000\n",
    "user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    "1\t30\tF\tpilot\t00001\n2\t40\tM\tbaker\tK1A\n",
    "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    '10\tThe "Quoted" One\t1990\tDrama War\n11\tNo Year\tunkonwn\tunknown\n',
}


def write_files(folder: Path, **changes: str) -> Path:
    for suffix, text in {**FILES, **changes}.items():
        (folder / f"ml-100k.{suffix}").write_text(text, encoding="utf-8")
    return folder


def write_wheel(folder: Path) -> str:
    """Writes a wheel that holds the made-up files and returns its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        for suffix, text in FILES.items():
            archive.writestr(f"recbole/dataset_example/ml-100k/ml-100k.{suffix}", text)
    return hashlib.sha256((folder / WHEEL).read_bytes()).hexdigest()


def test_reads_files_in_order_of_time(tmp_path: Path) -> None:
    data = load_movielens_100k(write_files(tmp_path))
    assert data.task_names == ("like", "love", "dislike")
    assert {task: labels.tolist() for task, labels in data.labels().items()} == {
        "like": [0, 1, 1, 0],
        "love": [0, 0, 1, 0],
        "dislike": [1, 0, 0, 0],
    }
    columns = data.columns()
    assert columns["user_id"].tolist() == [2, 1, 1, 2]
    assert columns["item_id"].tolist() == [10, 11, 10, 12]
    assert columns["hour"].tolist() == [1, 1, 3, 2]
    assert columns["genre"].tolist() == ["Drama", "unknown", "Drama", ""]
    assert columns["genres"].tolist() == ["Drama War", "unknown", "Drama War", ""]
    assert columns["zip_code"].tolist() == ["K1A", "00001", "00001", "K1A"]
    assert str(columns["release_year"].tolist()) == "[1990.0, nan, 1990.0, nan]"
    assert data.frame["date"].dt.day().to_list() == [2, 2, 2, 3]
    assert data.frame["time_ms"][0] == 90_000_000
    assert data.counts == {
        "rows_read": 5,
        "exact_duplicates": 1,
        "rows_without_user": 0,
        "rows_without_item": 1,
        "rows_without_release_year": 2,
        "rows": 4,
    }


def test_ratings_are_no_features(tmp_path: Path) -> None:
    data = load_movielens_100k(write_files(tmp_path))
    assert "rating" not in data.frame.columns
    assert not set(data.task_names) & set(data.schema.names)


def test_a_wheel_reads_as_its_files_do(tmp_path: Path) -> None:
    sha256 = write_wheel(tmp_path / "wheel")
    from_wheel = load_movielens_100k(tmp_path / "wheel", sha256=sha256)
    assert from_wheel.frame.equals(load_movielens_100k(write_files(tmp_path)).frame)


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    received = write_wheel(tmp_path)
    with pytest.raises(ValueError, match=f"SHA-256 {WHEEL_SHA256}. Received: {received}"):
        load_movielens_100k(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (write_files(tmp_path) / "ml-100k.user").unlink()
    with pytest.raises(FileNotFoundError, match=r"ml-100k\.user"):
        load_movielens_100k(tmp_path)


def test_a_wrong_rating_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ml-100k\.inter, column 'rating:float', row 3: .*Received: 'good'"):
        load_movielens_100k(write_files(tmp_path, inter=FILES["inter"].replace("\t2\t", "\tgood\t")))


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Stands in for pip, which needs a network: brings the wheel from `published` and notes that it did."""
    calls: list[Path] = []

    def download(folder: Path) -> Path:
        calls.append(folder)
        return Path((tmp_path / "published" / WHEEL).rename(folder / WHEEL))

    monkeypatch.setattr(movielens, "_download", download)
    return calls


def test_a_wheel_is_fetched_once(
    tmp_path: Path, downloads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = write_wheel(tmp_path / "published")
    monkeypatch.setenv("KERAS_SMES_CACHE", str(tmp_path / "cache"))
    first = load_movielens_100k(sha256=sha256)
    assert load_movielens_100k(sha256=sha256).frame.equals(first.frame)
    assert len(downloads) == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [WHEEL]


def test_a_corrupt_cache_is_fetched_again(tmp_path: Path, downloads: list[Path]) -> None:
    sha256 = write_wheel(tmp_path / "published")
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / WHEEL).write_bytes(b"half of it")
    assert hashlib.sha256(fetch_wheel(cache, sha256).read_bytes()).hexdigest() == sha256
    assert len(downloads) == 1


def test_a_wrong_download_is_refused_and_not_kept(tmp_path: Path, downloads: list[Path]) -> None:
    write_wheel(tmp_path / "published")
    with pytest.raises(ValueError, match=f"SHA-256 {WHEEL_SHA256}"):
        fetch_wheel(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_failing_pip_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # the real pip, with nowhere to look
    with pytest.raises(OSError, match=r"pip download .*recbole==1\.2\.1.* put recbole-1\.2\.1"):
        fetch_wheel(tmp_path / "cache")
