from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_smes_serving.server.rest.json_outputs import decimal


@given(st.floats(width=32, allow_nan=False))
def test_float32_is_read_back_as_it_was(value):
    assert np.float32(json.loads(decimal(np.float32(value)))) == np.float32(value)


@given(st.floats(allow_nan=False))
def test_float64_is_read_back_as_it_was(value):
    assert json.loads(decimal(np.float64(value))) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.2, "0.2"), (3, "3.0"), (9e6, "9e+06"), (3e-5, "3e-05"), (1 / 3, "0.333333343"), (np.inf, "Infinity")],
)
def test_written_as_tensorflow_serving_writes(value, text):
    assert decimal(np.float32(value)) == text
