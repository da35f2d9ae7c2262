"""What all kinds of tasks share: the rows that count, their labels, and tasks as plain values."""

import json

import numpy as np
import pytest
from support.task_kinds import COUNTED, KINDS, LABELS

from keras_smes.tasks import (
    BinaryTask,
    OrdinalTask,
    RegressionTask,
    Task,
    WeightedLogisticTask,
    as_tasks,
    task_from_config,
)

every_kind = pytest.mark.parametrize("task", KINDS.values(), ids=KINDS)


@every_kind
def test_a_row_counts_if_its_label_is_known_and_its_condition_is_1(task):
    counted = task.counted(LABELS)
    assert counted.tolist() == COUNTED
    assert counted.dtype == np.float32


def test_without_a_condition_every_known_label_counts():
    assert BinaryTask("buy").counted(LABELS).tolist() == [0, 1, 1, 1, 1, 1]


@every_kind
def test_targets_are_the_labels_that_count_and_0_elsewhere(task):
    targets = task.targets(LABELS)
    assert targets.dtype == np.float32
    expected = [label if counts else 0 for label, counts in zip(LABELS[task.label], COUNTED, strict=True)]
    assert targets.tolist() == expected


def test_the_label_is_named_after_the_task_unless_told():
    assert BinaryTask("buy").columns == ("buy",)
    assert BinaryTask("cvr", label="buy", condition="click").columns == ("buy", "click")


@every_kind
def test_labels_of_the_kind_pass_the_check(task):
    task.check(LABELS)


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        (BinaryTask("buy"), [1, 0.3], r"task 'buy' must be 0 or 1.*buy\[1\]=0.3"),
        (BinaryTask("cvr", label="buy"), [np.nan, np.inf], r"task 'cvr'.*buy\[1\]=inf"),
        (RegressionTask("buy"), [0, 3, -1], r"task 'buy' must be finite and at least 0.*buy\[2\]=-1"),
        (RegressionTask("buy", transform="identity"), [-1, -np.inf], r"must be finite.*buy\[1\]=-inf"),
        (WeightedLogisticTask("buy"), [-0.5], r"finite and at least 0.*buy\[0\]=-0.5"),
        (OrdinalTask("buy", thresholds=(1,)), [7, np.inf], r"must be finite.*buy\[1\]=inf"),
    ],
)
def test_a_label_that_can_not_be_is_refused_with_task_and_value(task, labels, message):
    with pytest.raises(ValueError, match=message):
        task.check({"buy": np.array(labels)})


def test_a_label_is_checked_where_it_does_not_count_too():
    with pytest.raises(ValueError, match=r"buy\[0\]=2.0"):
        BinaryTask("buy", condition="click").check({"buy": [2], "click": [0]})


def test_a_condition_is_0_or_1():
    with pytest.raises(ValueError, match=r"task 'buy' must be 0 or 1.*click\[1\]=0.5"):
        BinaryTask("buy", condition="click").check({"buy": [0, 1], "click": [np.nan, 0.5]})


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match=r"must have column 'click' of task 'buy'.*\['buy'\]"):
        BinaryTask("buy", condition="click").counted({"buy": np.ones(2)})


@every_kind
def test_a_task_survives_json(task):
    again = task_from_config(json.loads(json.dumps(task.to_config())))
    assert again == task
    assert type(again) is type(task)


def test_what_a_config_leaves_out_is_the_default():
    assert task_from_config({"kind": "binary", "name": "buy"}) == BinaryTask("buy")
    units = {"kind": "binary", "name": "buy", "units": []}
    assert task_from_config(units) == BinaryTask("buy", units=())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "buy"}, "kind=None"),
        ({"kind": "count", "name": "buy"}, "kind='count'"),
        ("binary", "must be a mapping.*'binary'"),
        ({"kind": "binary"}, "name=None"),
        ({"kind": "binary", "name": "buy", "thresholds": [1]}, r"unknown=\['thresholds'\]"),
    ],
)
def test_configs_that_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        task_from_config(config)


def test_names_stand_for_binary_tasks():
    rating = OrdinalTask("stars", thresholds=(2, 4))
    assert as_tasks(["click", rating]) == (BinaryTask("click"), rating)
    assert as_tasks(as_tasks(["click", rating])) == as_tasks(["click", rating])


@pytest.mark.parametrize("tasks", [[], "click", BinaryTask("click"), [3], ["click", None]])
def test_what_is_no_list_of_tasks_is_refused(tasks):
    with pytest.raises(ValueError, match="list of tasks or names"):
        as_tasks(tasks)


def test_two_tasks_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"unique names.*\['click', 'click'\]"):
        as_tasks(["click", BinaryTask("click", condition="seen")])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BinaryTask(""), "`name` must be.*name=''"),
        (lambda: BinaryTask(3), "`name` must be.*name=3"),
        (lambda: BinaryTask("long view"), "`name` must match.*name='long view'"),
        (lambda: BinaryTask("order", label="ordered"), "`name` must not be one of.*name='order'"),
        (lambda: BinaryTask("a", label=""), "`label` must be.*label=''"),
        (lambda: BinaryTask("a", condition=""), "`condition` must be.*condition=''"),
        (lambda: BinaryTask("a", condition="a"), "`condition` must differ from the label.*condition='a'"),
        (lambda: BinaryTask("a", weight=-1.0), "weight=-1.0"),
        (lambda: BinaryTask("a", units=(0,)), r"units=\[0\]"),
        (lambda: RegressionTask("a", transform="log"), "transform='log'"),
        (lambda: RegressionTask("a", huber=0.0), "huber=0.0"),
        (lambda: RegressionTask("a", std=-1.0), "std=-1.0"),
        (lambda: RegressionTask("a", mean=float("nan")), "mean=nan"),
        (lambda: WeightedLogisticTask("a", negatives="none"), "negatives='none'"),
        (lambda: WeightedLogisticTask("a", unit=0), "unit=0"),
        (lambda: OrdinalTask("a"), "`thresholds` must be a non-empty list"),
        (lambda: OrdinalTask("a", thresholds=(1, 1)), r"ascend.*thresholds=\[1, 1\]"),
        (lambda: OrdinalTask("a", thresholds=(1, 2), values=(1, 2)), r"hold 3 numbers.*values=\[1.0, 2.0\]"),
        (lambda: OrdinalTask("a", thresholds=(1,), values=(2, 1)), r"ascend.*values=\[2, 1\]"),
    ],
)
def test_arguments_that_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_task_alone_has_no_loss():
    with pytest.raises(NotImplementedError):
        Task("a").row_losses(np.zeros(1), np.zeros(1))
