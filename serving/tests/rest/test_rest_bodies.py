"""Bodies that are compressed, corrupt, cut, deep, or sent wrong: 400 as JSON, and no traceback."""

from __future__ import annotations

import gzip
import json
import socket
import time
import urllib.error
import urllib.request
import zlib

import pytest
from serving_support.living_models import publish

from keras_smes_serving.server.embedded import EmbeddedServer
from keras_smes_serving.server.rest import bodies

BODY = b'{"instances": [1.0, 2.0]}'
WHOLE = gzip.compress(BODY)
GOOD = (200, {"predictions": [1.0, 1.0]})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    base = tmp_path_factory.mktemp("models") / "m"
    publish(base, 1)
    with EmbeddedServer("m", base, rest_port=0) as running:
        yield running


@pytest.fixture(autouse=True)
def quiet(caplog):
    yield
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) <= 1
    assert not any(record.exc_info for record in caplog.records)
    assert "\n" not in "".join(lines)


def predict(server: EmbeddedServer, body: bytes, encoding: str | None = None) -> tuple[int, dict]:
    headers = {} if encoding is None else {"Content-Encoding": encoding}
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/m:predict"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_gzip(server, encoding):
    assert predict(server, WHOLE, encoding) == GOOD
    assert predict(server, gzip.compress(BODY[:9]) + gzip.compress(BODY[9:]), encoding) == GOOD


CORRUPT = {
    "no gzip": BODY,
    "changed": WHOLE[:12] + b"\xff\xff\xff" + WHOLE[15:],
    "checksum": WHOLE[:-8] + b"\0\0\0\0" + WHOLE[-4:],
    "length": WHOLE[:-1] + b"\1",
    "cut in the header": WHOLE[:5],
    "cut in the middle": WHOLE[:20],
    "cut at the end": WHOLE[:-1],
    "deflate": zlib.compress(BODY),
    "and more": WHOLE + b"more",
}


@pytest.mark.parametrize("case", CORRUPT)
def test_corrupt_gzip(server, case):
    status, answer = predict(server, CORRUPT[case], "gzip")
    assert status == 400
    assert answer["error"].startswith("Failed to uncompress the gzipped body: ")


@pytest.mark.parametrize("encoding", ["deflate", "br", "zstd"])
def test_other_compressions_are_named(server, encoding):
    text = f"The body must be gzipped or uncompressed. Received: Content-Encoding: {encoding}"
    for body in (zlib.compress(BODY), b"\xff\xffno compression"):
        assert predict(server, body, encoding) == (400, {"error": text})


def test_a_name_of_no_compression_is_ignored(server):
    assert predict(server, BODY, "identity") == GOOD
    assert predict(server, BODY, "utf-8") == GOOD


def test_a_body_counts_as_inflated(server, monkeypatch):
    monkeypatch.setattr(bodies, "INFLATED_LIMIT", 10_000)
    padded = BODY + b" " * (10_000 - len(BODY))
    assert predict(server, gzip.compress(padded), "gzip") == GOOD
    assert predict(server, padded + b" ") == GOOD  # what isn't compressed was sent in full
    status, answer = predict(server, gzip.compress(padded + b" "), "gzip")
    assert (status, answer["error"]) == (400, "The gzipped body must inflate to at most 10000 bytes")
    bomb = gzip.compress(bytes(10**8))
    assert predict(server, bomb, "gzip")[0] == 400


@pytest.mark.parametrize("depth", [65, 200, 900, 5_000, 100_000])
@pytest.mark.parametrize("key", ["instances", "inputs", "signature_name", "other"])
def test_deep_bodies(server, depth, key):
    lists = b'{"%s": %s1%s}' % (key.encode(), b"[" * depth, b"]" * depth)
    objects = b'{"%s": %s1%s}' % (key.encode(), b'[{"a": ' * (depth // 2), b"}]" * (depth // 2))
    for body in (lists, objects):
        status, answer = predict(server, body)
        assert status == 400
        assert answer["error"]


def test_sixty_four_dimensions_are_served(server):
    status, answer = predict(server, b'{"inputs": %s1%s}' % (b"[" * 64, b"]" * 64))
    assert status == 200
    assert json.dumps(answer["outputs"]) == "[" * 64 + "1.0" + "]" * 64


def test_a_client_that_leaves_in_the_midst_of_its_body(server, caplog):
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=30) as client:
        client.sendall(b"POST /v1/models/m:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{}")
        time.sleep(0.2)  # until the server waits for the rest
    assert predict(server, BODY) == GOOD
    assert not caplog.records
