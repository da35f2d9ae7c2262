"""What an experiment asks for, and what it refuses."""

import datetime

import pytest

pytest.importorskip("polars", reason='needs the extra "data"')

from keras_smes.experiments import Experiment

VALUES = {"name": "small", "question": "Which?", "data": "simulated", "models": {"smes": {}}, "seeds": [0]}


def make(**values):
    return Experiment(**{**VALUES, **values})


def test_runs_are_models_by_seeds():
    experiment = make(models={"a": {}, "b": {"model": "mmoe"}}, seeds=[3, 4])
    assert [(run.label, run.config.model, run.config.seed) for run in experiment.runs()] == [
        ("a", "smes", 3),
        ("b", "mmoe", 3),
        ("a", "smes", 4),
        ("b", "mmoe", 4),
    ]
    assert experiment.reference == "a"


def test_every_model_gets_every_trial():
    trials = {"slow": {"optimizer": {"learning_rate": 0.001}}, "fast": {"optimizer": {"learning_rate": 0.01}}}
    experiment = make(models={"a": {}, "b": {"model": "mmoe"}}, trials=trials)
    rates = {run.label: run.config.optimizer.learning_rate for run in experiment.runs()}
    assert rates == {"a/slow": 0.001, "a/fast": 0.01, "b/slow": 0.001, "b/fast": 0.01}


def test_model_overrides_common_key_by_key():
    common = {"training": {"epochs": 3, "batch_size": 64}}
    (run,) = make(common=common, models={"a": {"training": {"epochs": 1}}}).runs()
    assert (run.config.training.epochs, run.config.training.batch_size) == (1, 64)


def test_a_key_is_of_all_that_a_run_depends_on():
    changes = [
        {},
        {"seeds": [1]},
        {"models": {"smes": {"training": {"epochs": 1}}}},
        {"data_options": {"rows": 100}},
        {"split": {"test_fraction": 0.3}},
    ]
    keys = [make(**change).runs()[0].key for change in changes]
    assert len(set(keys)) == len(keys)
    assert make(question="Another?").runs()[0].key == keys[0]


def test_dates_are_read(tmp_path):
    yaml = pytest.importorskip("yaml")
    values = {**VALUES, "split": {"test_from": "2022-05-03", "test_until": datetime.date(2022, 5, 4)}}
    del values["name"]
    (tmp_path / "dated.yaml").write_text(yaml.safe_dump(values))
    experiment = Experiment.read(tmp_path / "dated.yaml")
    assert experiment.name == "dated"
    assert experiment.split["test_from"] == datetime.date(2022, 5, 3)
    assert experiment.to_dict()["split"]["test_until"] == "2022-05-04"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seeds": []}, "`seeds` must be a non-empty list"),
        ({"seeds": 3}, "`seeds` must be Sequence"),
        ({"models": ["smes"]}, "`models` must be Mapping"),
        ({"models": {"a": 5}}, "`models` must be Mapping"),
        ({"trials": [1]}, "`trials` must be Mapping"),
        ({"common": 5}, "`common` must be Mapping"),
        ({"split": 3}, "`split` must be Mapping"),
        ({"split": {"test_fraction": "half"}}, "test_fraction='half'"),
        ({"candidates": "many"}, "`candidates` must be int"),
        ({"data_options": 5}, "`data_options` must be Mapping"),
        ({"seeds": [1, 1]}, "`seeds` must be different"),
        ({"seeds": [-1]}, "`seeds` must hold integers of at least 0"),
        ({"models": {}}, "`models` must name one model or more"),
        ({"models": {"a": {"model": "nothing"}}}, r"model 'a': `model` must be one of .*'nothing'"),
        ({"models": {"a": {"depth": 1}}}, r"model 'a': .*unknown=\['depth'\]"),
        ({"models": {"a": {"seed": 1}}}, r"must leave \['seed'\] to the experiment. Received: model 'a'"),
        ({"models": {"a": {"training": {"validation": {"days": 1}}}}}, "make `split` end before"),
        ({"common": {"training": {"select": {"task": "click"}}}}, "`training.select` is not for experiments"),
        (
            {"trials": {"short": {"training": {"early_stopping": {"task": "click"}}}}},
            "`training.early_stopping` is not for experiments.*model 'smes/short'",
        ),
        ({"common": {"distribution": {"engine": "mirrored"}}}, "`distribution` is not for experiments"),
        ({"common": {"experts": {"width": 1}}}, r"unknown=\['width'\]"),
        ({"split": {"from": 1}}, r"`split` must be among .*unknown=\['from'\]"),
        ({"split": {"test_from": "May"}}, "`test_from` must be a date"),
        ({"reference": "none"}, r"`reference` must be one of \['smes'\]"),
        ({"candidates": 0}, "`candidates` must hold integers of at least 1"),
    ],
)
def test_refusals(values, message):
    with pytest.raises(ValueError, match=message):
        make(**values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"question": "?", "data": "simulated", "models": {"a": {}}, "seeds": [0], "modles": 1}', "modles"),
        (
            '{"question": "?", "data": "simulated", "models": {"a": {}}}',
            "line 1: A configuration must have `seeds`",
        ),
    ],
)
def test_unknown_and_missing_keys_of_a_file(tmp_path, text, message):
    (tmp_path / "experiment.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        Experiment.read(tmp_path / "experiment.json")
