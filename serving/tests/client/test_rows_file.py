"""Rows as JSON lines, as other programs write them."""

from __future__ import annotations

import io
import json
import re

import pytest

from keras_smes_serving.client.rows_file import read_rows

# All that `str.splitlines` takes for the end of a line, as it may stand in a title.
ENDS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


@pytest.fixture
def read(tmp_path):
    def read(text: str | bytes):
        path = tmp_path / "rows.jsonl"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_rows(path)

    return read


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85"])
def test_only_a_newline_ends_a_line(read, end):
    rows = [{"title": f"a{end}b"}, {"title": end}]
    assert read("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)) == rows


def test_every_end_that_is_none(read):
    rows = [{"title": ENDS}, {"title": "b"}]
    escaped = "".join(json.dumps(row) + "\r\n" for row in rows)
    assert read(escaped) == rows


def test_marks_and_blank_lines(read):
    assert read('\ufeff{"user_id": 1}\n') == [{"user_id": 1}]
    assert read('\n{"user_id": 1}\n\n  \t\r\n{"user_id": 2}\n\n') == [{"user_id": 1}, {"user_id": 2}]
    assert read('{"user_id": 1}') == [{"user_id": 1}], "no newline at the end"


@pytest.mark.parametrize(
    "line", ['[{"user_id": 1}]', "7", '"text"', "null", "{", "x", '{"a": 1} {"b": 2}', "[" * 9000, "1" * 9000]
)
def test_a_line_that_is_no_object_is_named(read, line):
    with pytest.raises(
        ValueError, match=r"`--rows` must hold one JSON object per line. Received: line 3, "
    ) as caught:
        read(f'{{"user_id": 1}}\n\n{line}\n')
    assert len(str(caught.value)) < 250


def test_files_that_hold_no_rows(read, tmp_path):
    for text in ("", "\n\n", "\ufeff"):
        assert read(text) == []
    with pytest.raises(ValueError, match=r"must be UTF-8. Received: .*rows\.jsonl"):
        read('{"title": "ä"}'.encode("latin-1"))
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "none"))):
        read_rows(tmp_path / "none")


def test_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO('\ufeff{"title": "a\u2028b"}\n\n{"title": "c"}\n'))
    assert read_rows("-") == [{"title": "a\u2028b"}, {"title": "c"}]
