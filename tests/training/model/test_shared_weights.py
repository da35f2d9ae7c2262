"""Which weights the tasks of each model share: the layers' own wiring, written out."""

import keras
import numpy as np
import pytest

from keras_smes import BinaryTask, FeatureSchema, IntegerCategory, Number, build_ranker
from keras_smes.baselines import build_experts
from keras_smes.training.model.shared_weights import shared_weights

TASKS = [BinaryTask(name) for name in ("click", "like", "buy")]
SCHEMA = FeatureSchema((IntegerCategory("item", vocabulary=(1, 2)), Number("age", mean=0.0, std=1.0)))


def core_of(model, **options):
    layer = build_experts(model, len(TASKS), {"expert_units": (8, 4), **options})
    return build_ranker(SCHEMA, TASKS, layer, encoder_units=(6,)).get_layer("core")


@pytest.mark.parametrize(
    ("model", "options", "own"),
    [
        ("shared_bottom", {}, set()),
        ("mmoe", {"num_experts": 3}, {"kernel"}),  # a slice of the gates for each task
        ("smes", {"num_experts": 6, "num_shared": 1, "num_private": 1}, {"router"}),
        (
            "ple",
            {"num_task_experts": 1, "num_shared_experts": 1, "num_levels": 2},
            # Experts of a task on the first level feed the shared experts of the second.
            {"level_0", "level_1", *(f"level_1/task_{t}" for t in range(3))},
        ),
    ],
)
def test_what_is_one_tasks_own(model, options, own):
    core = core_of(model, **options)
    shared = {id(variable) for variable in shared_weights(core)}
    found = {
        "/".join(v.path.split("/")[1:-1]) or v.path.split("/")[1]
        for v in core.get_layer("experts").trainable_variables
        if id(v) not in shared
    }
    assert found == own
    assert all(id(v) in shared for v in core.get_layer("encoder_0").trainable_variables)
    assert not any(id(v) in shared for v in core.get_layer("embed_item").trainable_variables)
    for task in TASKS:
        assert not any(id(v) in shared for v in core.get_layer(f"tower_{task.name}").trainable_variables)


def test_weights_of_a_group_of_tasks_are_shared_and_values_do_not_matter():
    core = core_of("home", task_groups=[[0, 1], [2]])
    for tower in TASKS:  # a start at zero hides every weight below
        layer = core.get_layer(f"tower_{tower.name}")
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    shared = {id(variable) for variable in shared_weights(core)}
    home = core.get_layer("experts")
    assert all(id(v) in shared for v in home.groups[0].trainable_variables)
    assert not any(id(v) in shared for v in home.groups[1].trainable_variables)
    assert not any(id(v) in shared for task in home.tasks for v in task.trainable_variables)
    assert all(id(v) in shared for v in home.shared.trainable_variables)


class TwoColumns(keras.layers.Layer):
    """Experts of somebody's own, whose names say nothing: one MLP for tasks 0 and 1, one for task 2."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.tower_of_two, self.common = (keras.layers.Dense(4, activation="tanh") for _ in range(2))

    def build(self, shape):
        self.tower_of_two.build(shape)
        self.common.build(shape)

    def call(self, h):
        both = self.tower_of_two(h)
        return keras.ops.stack([both, 2 * both, self.common(h)], axis=1)


def test_names_do_not_count():
    experts = TwoColumns(name="experts")
    core = build_ranker(SCHEMA, TASKS, experts, encoder_units=(6,)).get_layer("core")
    shared = {id(variable) for variable in shared_weights(core)}
    assert all(id(v) in shared for v in experts.tower_of_two.trainable_variables)
    assert not any(id(v) in shared for v in experts.common.trainable_variables)
