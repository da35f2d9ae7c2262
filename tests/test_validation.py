"""Refusals: the message names the argument and the value received."""

import re
from fractions import Fraction

import numpy as np
import pytest

from keras_smes import validation

NOT_COUNTS = [0, -1, True, 2.0, 2.5, "2", None, [2], np.float32(2), np.array([2])]
NOT_WEIGHTS = [-0.1, float("nan"), float("inf"), -float("inf"), True, "1", None, 1j]


def received(name, value):
    return re.escape(f"Received: {name}={value!r}")


def test_a_value_is_among_the_known_ones():
    validation.check_one_of("mode", "sum", ("mean", "sum"))
    with pytest.raises(
        ValueError, match=r"`mode` must be one of \['mean', 'sum'\]\. Received: mode=\['sum'\]"
    ):
        validation.check_one_of("mode", ["sum"], ("mean", "sum"))


@pytest.mark.parametrize("value", [1, 7, np.int64(7), np.uint8(1)])
def test_a_count_is_a_whole_number(value):
    count = validation.check_count("units", value)
    assert count == value
    assert type(count) is int


@pytest.mark.parametrize("value", NOT_COUNTS, ids=repr)
def test_other_counts_are_refused(value):
    with pytest.raises(ValueError, match=received("units", value)):
        validation.check_count("units", value)


def test_counts_may_start_at_zero():
    assert validation.check_count("num_shared", 0, minimum=0) == 0
    with pytest.raises(ValueError, match=r"at least 0.*num_shared=-1"):
        validation.check_count("num_shared", -1, minimum=0)


def test_lists_of_counts():
    assert validation.check_counts("units", [np.int32(3), 2]) == (3, 2)
    assert validation.check_counts("num_private", (0, 1), minimum=0) == (0, 1)


@pytest.mark.parametrize("values", [[], (), "12", 3, None, {4}], ids=repr)
def test_what_is_no_list_of_counts_is_refused(values):
    with pytest.raises(ValueError, match=received("units", values)):
        validation.check_counts("units", values)


@pytest.mark.parametrize("value", NOT_COUNTS, ids=repr)
def test_a_list_with_one_wrong_count_is_refused(value):
    with pytest.raises(ValueError, match=r"`units`.*Received: units=\[4, "):
        validation.check_counts("units", [4, value])


@pytest.mark.parametrize("value", [0, 0.0, 0.5, 3, np.float32(0.25), Fraction(1, 4)])
def test_a_weight_is_a_finite_number(value):
    weight = validation.check_weight("weight", value)
    assert weight == value
    assert type(weight) is float


@pytest.mark.parametrize("value", NOT_WEIGHTS, ids=repr)
def test_other_weights_are_refused(value):
    with pytest.raises(ValueError, match=received("weight", value)):
        validation.check_weight("weight", value)


NOT_NUMBERS = [float("nan"), float("inf"), -float("inf"), True, "1", None, 1j]


@pytest.mark.parametrize("value", [0, -2.5, np.float32(0.25), Fraction(-1, 4)])
def test_a_number_is_finite(value):
    number = validation.check_number("mean", value)
    assert number == value
    assert type(number) is float


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=repr)
def test_other_numbers_are_refused(value):
    with pytest.raises(ValueError, match=received("mean", value)):
        validation.check_number("mean", value)


@pytest.mark.parametrize("value", [*NOT_NUMBERS, 0, -0.5], ids=repr)
def test_what_is_not_above_zero_is_refused(value):
    assert validation.check_positive("std", np.float32(0.25)) == 0.25
    with pytest.raises(ValueError, match=received("std", value)):
        validation.check_positive("std", value)


def test_ascending_numbers():
    assert validation.check_ascending("thresholds", [-1, 0.5, np.int64(3)]) == (-1.0, 0.5, 3.0)


@pytest.mark.parametrize("values", [[], "12", 3, None, [1, 1], [2, 1]], ids=repr)
def test_what_does_not_ascend_is_refused(values):
    with pytest.raises(ValueError, match=received("thresholds", values)):
        validation.check_ascending("thresholds", values)


def test_an_ascending_list_with_a_number_that_is_none_is_refused():
    with pytest.raises(ValueError, match="Received: thresholds=nan"):
        validation.check_ascending("thresholds", [1, float("nan")])


def test_task_weights_are_scaled_to_sum_one():
    assert validation.check_task_weights(None, 4) == (0.25,) * 4
    assert validation.check_task_weights([1, 0, 3], 3) == (0.25, 0.0, 0.75)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 1.0, 1.0], [0.0, 0.0]], ids=repr)
def test_task_weights_of_another_length_or_all_zero_are_refused(values):
    with pytest.raises(ValueError, match=rf"num_tasks=2.*{received('task_weights', values)}"):
        validation.check_task_weights(values, 2)


@pytest.mark.parametrize("value", NOT_WEIGHTS, ids=repr)
def test_a_wrong_task_weight_is_refused(value):
    with pytest.raises(ValueError, match=received("task_weights", value)):
        validation.check_task_weights([1.0, value], 2)


@pytest.mark.parametrize("picks", [(6, 2, (1, 4)), (4, 4, (0,)), (1, 0, (1, 1)), (5, 0, (5, 1))])
def test_picks_that_every_task_can_make(picks):
    validation.check_picks(*picks)


@pytest.mark.parametrize(("picks", "why"), [((6, 2, (1, 5)), "at most"), ((6, 0, (1, 0)), "needs an expert")])
def test_picks_that_some_task_can_not_make_are_refused(picks, why):
    experts, shared, private = picks
    values = f"num_experts={experts}, num_shared={shared}, num_private={list(private)}"
    with pytest.raises(ValueError, match=f"{why}.*{re.escape(values)}"):
        validation.check_picks(*picks)


def test_ranks():
    validation.check_rank("inputs", (None, 4), "[batch, width]")
    for shape in [(4,), (2, 3, 4), ()]:
        with pytest.raises(ValueError, match=rf"`inputs`.*\[batch, width\].*{re.escape(str(shape))}"):
            validation.check_rank("inputs", shape, "[batch, width]")
