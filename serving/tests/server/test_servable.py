"""A version asked without gRPC between."""

from __future__ import annotations

import itertools
import time

import grpc
import numpy as np
import pytest

from keras_smes_serving.protocol.errors import ServingError, status_code, truncated
from keras_smes_serving.server.runtime.servable import Servable
from keras_smes_serving.server.runtime.session import Session

INPUTS = {
    "user": np.array([15, 2**60]),
    "city": np.array([b"oslo", b"rome"], object),
    "dense": np.eye(2, 4, dtype="float32"),
}


@pytest.fixture(scope="module")
def servable(base_path):
    loaded = Servable(Session(base_path / "00000123"), max_executors=3)
    yield loaded
    loaded.close()


def test_arrays_in_arrays_out(servable, ranker):
    outputs = servable.predict("", INPUTS)
    expected = ranker.score(**INPUTS)
    assert np.allclose(outputs["click"], expected["click"])
    assert outputs["city_again"].tolist() == [b"oslo", b"rome"]


def test_every_set_of_outputs_is_answered_beyond_the_executors_kept(servable, ranker):
    expected = {name: value.numpy() for name, value in ranker.score(**INPUTS).items()}
    for size in range(1, 5):
        for wanted in itertools.permutations(expected, size):
            outputs = servable.predict("serving_default", INPUTS, wanted)
            assert list(outputs) == list(wanted)
            assert all(np.array_equal(outputs[name], expected[name]) for name in wanted if name != "click")


def test_a_timeout_ends_the_run(servable):
    began = time.perf_counter()
    with pytest.raises(ServingError) as caught:
        servable.predict("slow", {"steps": np.int64(10**9)}, timeout=0.2)
    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.perf_counter() - began < 5


def test_the_init_op_is_no_signature_to_ask(servable):
    with pytest.raises(ServingError):
        servable.predict("__saved_model_init_op", {})


def test_what_is_no_saved_model_raises(tmp_path):
    with pytest.raises(OSError, match="SavedModel file does not exist"):
        Session(tmp_path)


def test_status_numbers_are_those_of_grpc():
    assert status_code(9) == grpc.StatusCode.FAILED_PRECONDITION
    assert status_code(99) == grpc.StatusCode.UNKNOWN


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("x" * 1024, "x" * 1024),
        ("x" * 1025, "x" * 1024 + "...TRUNCATED"),
        ("é" * 600, "é" * 512 + "...TRUNCATED"),
    ],
)
def test_texts_are_cut_at_1024_bytes(text, cut):
    assert truncated(text) == cut
    assert ServingError(grpc.StatusCode.INTERNAL, text).message == cut
