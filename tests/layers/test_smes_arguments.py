"""Arguments of the whole layer that can't work are named with the value received."""

import numpy as np
import pytest

from keras_smes import SMES

GOOD = {"num_tasks": 3, "num_experts": 6, "num_shared": 2, "num_private": 1, "expert_units": [8, 4]}
NOT_COUNTS = [0, -1, True, 2.0, "2", None]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("num_tasks", "num_experts") for value in NOT_COUNTS],
        *[(name, value) for name in ("num_shared", "num_private") for value in (-1, True, 2.0, "2", None)],
        *[("num_private", value) for value in ([], [1, 1], [1, 1, 1, 1], [1, -1, 1], [1, True, 1])],
        ("num_shared", 7),
        *[("task_weights", value) for value in ([1.0, 1.0], [], [0.0, 0.0, 0.0])],
        *[("execution", value) for value in ("fast", None, "")],
    ],
)
def test_refuses(name, value):
    with pytest.raises(ValueError, match=f"`{name}`") as refusal:
        SMES(**{**GOOD, name: value})
    assert f"{name}={value!r}" in str(refusal.value)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), True, "1"], ids=repr)
def test_refuses_a_task_weight(weight):
    with pytest.raises(ValueError, match="`task_weights`") as refusal:
        SMES(**GOOD, task_weights=[1, weight, 1])
    assert repr(weight) in str(refusal.value)


@pytest.mark.parametrize(("name", "parts_name"), [("expert_units", "units"), ("balance_weight", "weight")])
@pytest.mark.parametrize("value", [[], 0, -1, True, "8", float("nan")], ids=repr)
def test_refuses_arguments_of_its_parts(name, parts_name, value):
    if (name, value) == ("balance_weight", 0):
        pytest.skip("zero is a weight: no loss")
    with pytest.raises(ValueError, match=f"`({name}|{parts_name})`") as refusal:
        SMES(**{**GOOD, name: value})
    assert repr(value) in str(refusal.value)


@pytest.mark.parametrize("name", ["expert_units", "balance_weight"])
def test_refusals_name_the_argument_that_was_given(name):
    with pytest.raises(ValueError, match=f"`{name}`.*{name}=-1"):
        SMES(**{**GOOD, name: -1})


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_private": 5}, r"at most `num_experts`.*num_experts=6, num_shared=2, num_private=\[5, 5, 5\]"),
        ({"num_private": [1, 1, 5]}, r"at most `num_experts`.*num_private=\[1, 1, 5\]"),
        ({"num_shared": 0, "num_private": 0}, r"needs an expert.*num_shared=0, num_private=\[0, 0, 0\]"),
        ({"num_shared": 0, "num_private": [1, 0, 1]}, r"needs an expert.*num_private=\[1, 0, 1\]"),
    ],
)
def test_refuses_sizes_that_can_not_work(sizes, message):
    with pytest.raises(ValueError, match=message):
        SMES(**{**GOOD, **sizes})


@pytest.mark.parametrize("shape", [(4, 5, 6), (4,)])
def test_refuses_inputs_of_another_rank(shape):
    with pytest.raises(ValueError, match=r"`inputs` must have shape \[batch, width\]"):
        SMES(**GOOD)(np.ones(shape, np.float32))


@pytest.mark.parametrize("count", [-1, True, 1.0, None])
def test_refuses_a_count_of_experts_always_on(count):
    with pytest.raises(ValueError, match="`num_always`"):
        SMES(2, 3, 1, 1, (4,), num_always=count)
