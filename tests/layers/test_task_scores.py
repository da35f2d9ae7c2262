import json

import numpy as np
import pytest
from support.backends import assert_close, evaluate
from support.layer_contract import assert_runs_everywhere, assert_saves, assert_shapes
from support.task_kinds import KINDS, logits_of

from keras_smes.layers import TaskScores
from keras_smes.tasks import BinaryTask, OrdinalTask, WeightedLogisticTask

TASKS = [
    BinaryTask("click"),
    OrdinalTask("stars", thresholds=(1, 2)),
    WeightedLogisticTask("watch", unit=9.0),
]
INPUTS = ({task.name: logits_of(task, 4, seed=t) for t, task in enumerate(TASKS)},)


def test_each_task_scores_its_own_logits():
    found = evaluate(TaskScores(TASKS), *INPUTS)
    assert list(found) == ["click", "stars", "watch"]
    for task in TASKS:
        assert_close(found[task.name], evaluate(task.score, INPUTS[0][task.name]), 1e-6)


def test_it_runs_everywhere():
    assert_runs_everywhere(TaskScores(TASKS), INPUTS)
    assert_shapes(TaskScores(TASKS), INPUTS)


def test_it_saves(tmp_path):
    assert_saves(TaskScores(TASKS), INPUTS, tmp_path)


@pytest.mark.parametrize("task", KINDS.values(), ids=KINDS)
def test_the_tasks_are_saved_with_it(task):
    config = json.loads(json.dumps(TaskScores([task]).get_config()))
    assert TaskScores.from_config(config).tasks == (task,)


def test_scores_are_float32_under_half_precision():
    found = evaluate(TaskScores(TASKS, dtype="mixed_bfloat16"), *INPUTS)
    assert {score.dtype.name for score in found.values()} == {"float32"}
    rounded = evaluate(TaskScores(["click"], dtype="mixed_bfloat16"), {"click": np.float32([9.0, 9.001])})
    assert rounded["click"][0] < rounded["click"][1]


def test_logits_of_other_tasks_are_refused():
    with pytest.raises(ValueError, match=r"those of tasks=\['click'\].*\['like'\]"):
        TaskScores(["click"])({"like": np.zeros(2, "float32")})
