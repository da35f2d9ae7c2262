import pytest

from keras_smes import SMES
from keras_smes.baselines import (
    MODELS,
    PLE,
    HoME,
    MMoE,
    NaiveSparse,
    SharedBottom,
    TaskBalancedSMES,
    build_experts,
    model_options,
)

GIVEN = {
    "smes": (SMES, {"num_experts": 9, "num_shared": 1, "num_private": 1, "expert_units": [8, 4]}),
    "smes_task_balance": (
        TaskBalancedSMES,
        {"num_experts": 9, "num_shared": 1, "num_private": [1, 2, 0], "expert_units": [8, 4]},
    ),
    "naive_sparse": (NaiveSparse, {"num_experts": 9, "num_picks": 2, "expert_units": [8, 4]}),
    "shared_bottom": (SharedBottom, {"expert_units": [8, 4]}),
    "mmoe": (MMoE, {"num_experts": 3, "expert_units": [8, 4], "kernel_initializer": "he_normal"}),
    "ple": (PLE, {"num_task_experts": 1, "num_shared_experts": 2, "expert_units": [8, 4], "num_levels": 1}),
    "home": (HoME, {"task_groups": [[0, 1], [2]], "expert_units": [8, 4]}),
}


def test_every_model_has_an_example_here():
    assert set(MODELS) == set(GIVEN)


@pytest.mark.parametrize("model", MODELS)
def test_builds_the_layer_with_its_options(model):
    layer_class, options = GIVEN[model]
    layer = build_experts(model, 3, options)
    assert type(layer) is layer_class
    assert layer.name == "experts"
    config = layer.get_config()
    assert config["num_tasks"] == 3
    for name, value in options.items():
        found = config[name]
        assert found == value or found["class_name"] == "HeNormal"


def test_options_are_the_arguments_of_the_layer():
    assert model_options("shared_bottom") == {
        "expert_units": True,
        "expert_activation": False,
        "output_activation": False,
        "kernel_initializer": False,
    }


@pytest.mark.parametrize("function", [model_options, lambda model: build_experts(model, 2, {})])
@pytest.mark.parametrize("model", ["moe", "", None])
def test_refuses_an_unknown_model(function, model):
    with pytest.raises(ValueError, match="`model` must be one of") as refusal:
        function(model)
    assert f"model={model!r}" in str(refusal.value)


@pytest.mark.parametrize("name", ["num_shared", "num_tasks", "name", "kwargs", "self"])
def test_refuses_an_unknown_option_by_name(name):
    with pytest.raises(ValueError, match=rf"`options` of 'mmoe'.*unknown=\['{name}'\]"):
        build_experts("mmoe", 2, {"num_experts": 3, "expert_units": [4], name: 1})


@pytest.mark.parametrize("model", MODELS)
def test_refuses_missing_options_by_name(model):
    with pytest.raises(ValueError, match=rf"`options` of '{model}' must hold.*missing=.*'expert_units'"):
        build_experts(model, 3, {k: v for k, v in GIVEN[model][1].items() if k != "expert_units"})


def test_refuses_a_value_by_the_layers_own_word():
    with pytest.raises(ValueError, match="num_experts=0"):
        build_experts("mmoe", 2, {"num_experts": 0, "expert_units": [4]})
