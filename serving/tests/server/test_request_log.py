"""What clients send can't fill the log: a line each at most, and few a second."""

from __future__ import annotations

import logging

from keras_smes_serving.server import request_log
from keras_smes_serving.server.request_log import RequestLog


def failing():
    raise ValueError("first line\nsecond line")


def test_an_exception_is_one_line_that_says_where(caplog):
    log = RequestLog(logging.getLogger("requests"))
    try:
        failing()
    except ValueError as error:
        log.exception("A request of %s failed", "m")
        log.error("And from outside", exc_info=error)
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("A request of m failed: ValueError: first line second line (")
    assert f"test_request_log.py:{failing.__code__.co_firstlineno + 1})" in first
    assert second.startswith("And from outside: ValueError: first line")
    assert all(record.exc_info is None for record in caplog.records)


def test_lines_beyond_the_limit_are_counted(caplog, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(request_log.time, "monotonic", lambda: now[0])
    log = RequestLog(logging.getLogger("requests"), per_second=3)
    for number in range(1000):
        log.error("%d%%", number)
    assert [record.getMessage() for record in caplog.records] == ["0%", "1%", "2%"]
    now[0] += 1
    log.error("next")
    log.error("x" * 10_000)
    assert caplog.records[3].getMessage() == "next (997 lines left out before)"
    assert len(caplog.records[4].getMessage()) < 600
