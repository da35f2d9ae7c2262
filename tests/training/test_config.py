import json

import pytest

from keras_smes import SMES
from keras_smes.baselines import MMoE
from keras_smes.training import RunConfig


def test_config_is_json_and_comes_back_equal():
    config = RunConfig("simulated", num_private=[1, 0], expert_units=(8, 4), epochs=3)
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_models_by_name():
    smes = RunConfig("simulated", num_experts=9, num_shared=3, balance_weight=0.5).build_experts(num_tasks=4)
    assert isinstance(smes, SMES)
    assert (smes.router.num_tasks, smes.router.num_experts, smes.router.num_shared) == (4, 9, 3)
    assert smes.balance.weight == 0.5
    mmoe = RunConfig("simulated", model="mmoe", num_experts=9).build_experts(num_tasks=4)
    assert isinstance(mmoe, MMoE)
    assert mmoe.experts.num_experts == 9


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "ple"}, "model='ple'"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 1.5}, "batch_size=1.5"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"seed": -1}, "seed=-1"),
        ({"expert_units": []}, "expert_units"),
        ({"num_expert": 8}, r"unknown=\['num_expert'\]"),
    ],
)
def test_refusals(values, message):
    with pytest.raises(ValueError, match=message):
        RunConfig.from_dict({"data": "simulated", **values})
