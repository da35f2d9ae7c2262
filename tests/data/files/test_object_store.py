"""A log in an object store: against a server of S3's protocol on loopback, a process of its own."""

import contextlib
import re
import socket

import polars as pl
import pytest
from support.made_up_log import write_feed
from support.processes import Process, free_ports, wait_until

from keras_smes.cli import main
from keras_smes.data import Log, load_log, store_log

pytest.importorskip("moto", reason='needs the extra "test"')
s3fs = pytest.importorskip("s3fs", reason='needs the extra "s3"')
pytest.importorskip("flask_cors", reason='needs the extra "test"')
SERVER = "import sys; from moto.server import main; main(sys.argv[1:])"


def _is_open(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    port = free_ports(1)[0]
    process = Process(SERVER, ["-H", "127.0.0.1", "-p", port], tmp_path_factory.mktemp("moto") / "log")
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        wait_until(lambda: _is_open(port), "the server")
        for bucket in ("team", "text", "grown"):
            s3fs.S3FileSystem(skip_instance_cache=True).mkdir(bucket)
        yield
    process.kill()


@pytest.fixture(scope="module")
def feed(server, tmp_path_factory):
    """The YAML of a log on the disk, and that of the same files in a bucket."""
    path = write_feed(tmp_path_factory.mktemp("feed"))
    store = s3fs.S3FileSystem(skip_instance_cache=True)
    store.put(str(path.parent / "log"), "team/log", recursive=True)
    store.put(str(path.parent / "items.parquet"), "team/items.parquet")
    text = path.read_text().replace("log/dt", "s3://team/log/dt").replace("items.p", "s3://team/items.p")
    (path.parent / "stored.yaml").write_text(text)
    return path, path.parent / "stored.yaml"


def test_rows_are_those_of_the_same_files_on_a_disk(feed, tmp_path):
    local, remote = map(Log.read, feed)
    expected = load_log(local)
    for rows in (load_log(remote), store_log(remote, tmp_path).read()):
        assert rows.frame.equals(expected.frame)
        assert rows.counts == expected.counts


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.tsv.zst"])
def test_text_is_read_as_it_is_on_a_disk(name, server, tmp_path):
    separator = "\t" if ".tsv" in name else ","
    packing = {"gz": "gzip", "zst": "zstd"}.get(name.rpartition(".")[2], "uncompressed")
    frame = pl.DataFrame({"code": ["007", "08"] * 9, "click": [0, 1] * 9})
    frame.lazy().sink_csv(tmp_path / name, separator=separator, compression=packing)
    s3fs.S3FileSystem(skip_instance_cache=True).put(str(tmp_path / name), f"text/{name}")
    rows = load_log(Log("text", (f"s3://text/{name}",), ("click",)))
    assert rows.frame["code"].to_list() == ["007", "08"] * 9


def test_new_and_changed_objects_make_other_rows(feed, tmp_path):
    store = s3fs.S3FileSystem(skip_instance_cache=True)
    frame = pl.DataFrame({"colour": ["red", "blue"] * 9, "click": [0, 1] * 9})
    log, clicks = Log("grown", ("s3://grown/",), ("click",)), []
    for name, change in (("a", pl.col("click")), ("a", pl.lit(1).alias("click")), ("b", pl.col("click"))):
        frame.with_columns(change).write_parquet(tmp_path / "rows.parquet")
        store.put(str(tmp_path / "rows.parquet"), f"grown/{name}.parquet")
        store.pipe("grown/_SUCCESS", b"")
        clicks.append(store_log(log, tmp_path / "cache").read().frame["click"].sum())
    assert clicks == [9, 18, 27]


def test_describe_drafts_a_log_of_urls(feed, tmp_path):
    out = tmp_path / "draft.yaml"
    assert main(["describe", "s3://team/log/dt=*/part-*.parquet", "--out", str(out)]) == 0
    assert len(load_log(Log.read(out))) == 5 * 307


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://team/nowhere/*.parquet", "must name files that are there. Received: s3://team/nowhere"),
        ("gs://team/*.parquet", "gs://team.* can't be listed: .*gcsfs"),
        ("nope://team/*.parquet", "nope://team.* can't be listed: .*nope"),
    ],
)
def test_what_is_not_there_is_named(url, message, server, capsys):
    assert main(["describe", url]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_folder_by_a_file_url_is_that_folder(tmp_path):
    frame = pl.DataFrame({"colour": ["red", "blue"] * 9, "click": [0, 1] * 9})
    frame.write_parquet(tmp_path / "rows.parquet")
    frame.write_csv(tmp_path / "rows.csv")
    for name in ("rows.parquet", "rows.csv"):
        rows = load_log(Log("file", (f"file://{tmp_path}/{name}",), ("click",)))
        assert rows.frame["colour"].to_list() == frame["colour"].to_list()
