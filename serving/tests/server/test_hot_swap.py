"""Versions that come and go while a server runs."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from serving_support.living_models import (
    AVAILABLE,
    END,
    Asking,
    publish,
    publish_broken,
    refusal,
    until,
    withdraw,
)

from keras_smes_serving.server.embedded import EmbeddedServer
from keras_smes_serving.server.flags import Flags
from keras_smes_serving.server.model_server import ModelServer

POLL = 0.02  # seconds


@pytest.fixture
def base(tmp_path):
    publish(tmp_path / "m", 1)
    return tmp_path / "m"


@pytest.fixture
def asking(base):
    flags = {"file_system_poll_wait_seconds": POLL}
    with EmbeddedServer("m", base, **flags) as server, Asking(server.address) as opened:
        yield opened


def test_a_new_version_takes_over_and_the_old_one_ends(base, asking):
    assert asking.answer() == (1, 1.0)
    publish(base, 2)
    until(lambda: asking.answer() == (2, 2.0))
    until(lambda: asking.states() == {2: AVAILABLE, 1: END})
    assert list(asking.states()) == [2, 1], "the newest comes first"
    code, text = refusal(asking.answer, version=1)
    assert (code, text) == (grpc.StatusCode.NOT_FOUND, "Servable not found for request: Specific(m, 1)")


def test_when_the_newest_goes_the_one_before_comes_back(base, asking):
    publish(base, 2)
    until(lambda: asking.states() == {2: AVAILABLE, 1: END})
    withdraw(base, 2)
    until(lambda: asking.states() == {2: END, 1: AVAILABLE})
    assert asking.answer() == (1, 1.0)


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_serving(base, asking):
    publish_broken(base, 2)
    until(lambda: asking.states() == {2: END, 1: AVAILABLE})
    broken = asking.statuses()[0].status
    assert broken.error_code != 0
    assert broken.error_message
    assert asking.answer() == (1, 1.0)
    publish(base, 3)
    until(lambda: asking.states() == {3: AVAILABLE, 2: END, 1: END})


def test_a_failed_version_that_is_replaced_is_tried_again(base, asking):
    publish_broken(base, 2)
    until(lambda: asking.states() == {2: END, 1: AVAILABLE})
    withdraw(base, 2)
    # Once more with the old one wanted: only then is the failure forgotten.
    until(lambda: asking.states() == {2: END, 1: AVAILABLE})
    publish(base, 3)
    until(lambda: asking.answer() == (3, 3.0))


def test_a_base_path_that_goes_away_unloads_nothing(base, asking):
    base.rename(base.parent / "away")
    with ThreadPoolExecutor(1) as pool:  # some polls pass meanwhile
        assert set(pool.map(lambda _: asking.answer(), range(500))) == {(1, 1.0)}
    publish(base.parent / "back", 2)
    (base.parent / "back").rename(base)
    until(lambda: asking.answer() == (2, 2.0))


def test_failed_loads_are_tried_again(base):
    flags = {
        "max_num_load_retries": 1000,
        "load_retry_interval_micros": 10_000,
        "file_system_poll_wait_seconds": POLL,
    }
    with EmbeddedServer("m", base, **flags) as server, Asking(server.address) as asking:
        save_later = base.parent / "whole"
        publish(save_later, 7)
        publish_broken(base, 2)
        until(lambda: 2 in asking.states())
        (base / "2" / "saved_model.pb").unlink()
        shutil.copytree(save_later / "7", base / "2", dirs_exist_ok=True)
        until(lambda: asking.answer() == (2, 7.0))


def test_the_command_line_waits_for_the_first_version(tmp_path):
    server = ModelServer(
        Flags(
            port=0,
            model_name="m",
            model_base_path=str(tmp_path / "m"),
            file_system_poll_wait_seconds=POLL,
        )
    )
    starting = threading.Thread(target=server.start)
    starting.start()
    assert starting.is_alive()
    publish(tmp_path / "m", 1)
    starting.join(timeout=30)
    with Asking(server.address) as asking:
        assert asking.answer() == (1, 1.0)
    server.stop()


def test_polling_once_sees_no_later_version(base):
    with (
        EmbeddedServer("m", base, file_system_poll_wait_seconds=0) as server,
        Asking(server.address) as asking,
    ):
        publish(base, 2)
        assert {asking.answer() for _ in range(500)} == {(1, 1.0)}
        assert asking.states() == {1: AVAILABLE}


def test_twenty_versions_under_load_without_one_failed_or_wrong_answer(base, asking):
    last = 20
    done = threading.Event()

    def load(_: int) -> list[tuple[int, float]]:
        answers = []
        while not done.is_set():
            answers.append(asking.answer())  # raises if one fails
        return answers

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(load, number) for number in range(4)]
        try:
            for version in range(2, last + 1):
                publish(base, version)
                until(lambda wanted=version: asking.answer() == (wanted, float(wanted)))
            until(lambda: list(asking.states().values()).count(AVAILABLE) == 1)
        finally:
            done.set()
    for client in clients:
        answers = np.array(client.result())
        assert len(answers) > 100
        assert np.array_equal(answers[:, 0], answers[:, 1]), "an answer of another version than it says"
        assert np.all(np.diff(answers[:, 0]) >= 0), "an older version after a newer one"
    assert list(asking.states()) == list(range(last, 0, -1))
