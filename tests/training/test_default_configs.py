"""The configurations that data sets of this package come with."""

from keras_smes.training import RunConfig
from keras_smes.training.default_configs import with_usual


def test_kuairand_has_its_own():
    config = RunConfig.from_dict(with_usual({"data": "kuairand-pure"}))
    assert config.data_options == {"left_out": ["video_id", "author_id"]}
    assert config.training.batch_size == 256
    assert config.experts["num_always"] == 3


def test_what_is_stated_wins():
    stated = {
        "data": "kuairand-pure",
        "model": "mmoe",
        "training": {"batch_size": 64, "epochs": 1},
        "experts": {"num_experts": 3},
    }
    config = RunConfig.from_dict(with_usual(stated))
    assert (config.training.batch_size, config.training.epochs) == (64, 1)
    assert config.experts == {"num_experts": 3, "expert_units": [64, 32]}
    assert config.optimizer.learning_rate == 0.003


def test_other_data_are_left_as_they_are():
    values = {"data": "log.yaml", "training": {"epochs": 1}}
    assert with_usual(values) == values
