"""Every exception of the package survives pickling, so that a worker's error reaches who waits for it."""

import copy
import importlib
import multiprocessing
import pickle
import pkgutil

import grpc
import pytest

import keras_smes
import keras_smes_serving
from keras_smes.distribution.faults import LostProcessError
from keras_smes.training.loop.non_finite import NonFiniteError
from keras_smes_serving.client import Client
from keras_smes_serving.protocol.errors import ServingError, truncated

FOUND = {"tasks": ["click"], "features": [], "weights": ["core/kernel"], "gradients": []}
# What `__init__` is given where it takes something else than one text.
GIVEN = {
    ServingError: (grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(smes)"),
    NonFiniteError: (3, 17, FOUND),
    LostProcessError: ("a worker", "Socket closed"),
}


ALONE = "keras_smes.tfrs"  # imported in processes of its own, with Keras 2; it has no exceptions


def exceptions():
    found = set()
    packages = (keras_smes, keras_smes_serving)
    for module in (m for p in packages for m in pkgutil.walk_packages(p.__path__, f"{p.__name__}.")):
        if module.name != ALONE and not module.name.endswith("__main__"):
            values = vars(importlib.import_module(module.name)).values()
            found |= {v for v in values if isinstance(v, type) and issubclass(v, BaseException)}
    return {cls for cls in found if cls.__module__.startswith(("keras_smes.", "keras_smes_serving."))}


def test_every_exception_survives_pickling_with_its_attributes():
    found = exceptions()
    assert found >= set(GIVEN)
    for cls in found:
        error = cls(*GIVEN.get(cls, ("what was wrong",)))
        error.request_id = 7  # and with what its user has put on it
        for copied in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
            assert type(copied) is cls
            assert str(copied) == str(error)
            assert copied.args == error.args
            assert vars(copied) == vars(error)


def test_a_text_is_cut_once():
    cut = truncated("x" * 1022 + "\u20ac" * 10)  # a character that the limit would cut in two
    assert cut == "x" * 1022 + "...TRUNCATED"
    assert truncated(cut) == cut
    error = ServingError(grpc.StatusCode.INTERNAL, "y" * 5000)
    assert pickle.loads(pickle.dumps(error)).message == "y" * 1024 + "...TRUNCATED"


def score(index):
    with Client("127.0.0.1:9", timeout=2) as client:  # no server there
        return client.predict("smes", {"user_id": [index]})


def test_an_error_of_a_worker_reaches_the_pool():
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(ServingError) as caught:
        pool.map_async(score, [1]).get(timeout=120)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
