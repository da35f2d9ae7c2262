"""The one reader: what is wrong in a YAML or JSON file is named by file, line, key and value."""

import json

import pytest

pytest.importorskip("polars", reason='needs the extra "data"')
pytest.importorskip("yaml", reason='needs the extra "config"')

from keras_smes.cli import main
from keras_smes.configuration.document import ConfigError, Document
from keras_smes.experiments import Experiment
from keras_smes.planning import read_plan
from keras_smes.training import RunConfig

RUN = """\
data: simulated
data_options: {rows: 1000}
tower_units:
- 16
- 8
training:
  epochs: 2
  select:
    task: click
"""


def of_file(read, folder, text, name):
    (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is compared by its callers
        read(folder / name)
    assert str(folder / name) in str(caught.value)
    return str(caught.value).removeprefix(f"{folder / name}, ")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs: 2", "epochs: two", "line 7, `training.epochs`: `training.epochs` must be int. Received: "),
        ("epochs: 2", "epochs: 0", "line 7, `training.epochs`: `epochs` must be an integer of at least 1"),
        ("epochs: 2", "epoch: 2", "line 7, `training.epoch`: Configuration keys must be among ['epochs', "),
        ("- 8", "- x", "line 5, `tower_units[1]`: `tower_units` must be Sequence[int]. Received: tower_"),
        ("task: click", "metric: auc", "line 8, `training.select`: A configuration must have `training.sel"),
        ("rows: 1000", "row: 1000", "line 2, `data_options.row`: `data_options` must be among ['half_life'"),
        ("training:", "seed: -1\ntraining:", "line 6, `seed`: `seed` must be an integer of at least 0."),
        ("training:", "training: {}\ntraining:", "line 7, `training`: must be given once. Received: rep"),
    ],
)
def test_a_wrong_value_of_a_run_is_named_with_its_line(old, new, message, tmp_path):
    assert old in RUN
    found = of_file(RunConfig.read, tmp_path, RUN.replace(old, new), "run.yaml")
    assert found.startswith(message)


def test_json_has_lines_too(tmp_path):
    text = json.dumps({"data": "simulated", "optimizer": {"learning_rate": "1e-3"}}, indent=2)
    found = of_file(RunConfig.read, tmp_path, text, "run.json")
    assert found.startswith("line 4, `optimizer.learning_rate`: `optimizer.learning_rate` must be float.")
    assert RunConfig.read(write(tmp_path, text.replace('"1e-3"', "1e-3"))).optimizer.learning_rate == 0.001
    tabs = text.replace("  ", "\t").replace('"1e-3"', "1e-3")  # no YAML, and JSON all the same
    assert RunConfig.read(write(tmp_path, tabs)).optimizer.learning_rate == 0.001


def write(folder, text):
    (folder / "good.json").write_text(text)
    return folder / "good.json"


EXPERIMENT = """\
question: Which?
data: simulated
seeds: [0]
common:
  training: {epochs: 1}
models:
  smes: {}
  mmoe: {model: mmoe}
trials:
  slow: {optimizer: {learning_rate: 0.001}}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "seeds: [0]",
            "seeds: [a]",
            "line 3, `seeds[0]`: `seeds` must be Sequence[int]. Received: seeds=['a']",
        ),
        (
            "{epochs: 1}",
            "{epochs: 1.5}",
            "line 5, `common.training.epochs`: model 'smes/slow': `training.epo",
        ),
        (
            "{model: mmoe}",
            "{modle: mmoe}",
            "line 8, `models.mmoe.modle`: model 'mmoe/slow': Configuration keys",
        ),
        (
            "rate: 0.001",
            "rate: low",
            "line 10, `trials.slow.optimizer.learning_rate`: model 'smes/slow': `opti",
        ),
        (
            "question",
            "quest",
            "line 1, `quest`: Configuration keys must be among ['name', 'question', 'data'",
        ),
    ],
)
def test_a_wrong_value_of_an_experiment_is_named_where_it_stands(old, new, message, tmp_path):
    found = of_file(Experiment.read, tmp_path, EXPERIMENT.replace(old, new, 1), "which.yaml")
    assert found.startswith(message)


def test_a_wrong_value_of_a_plan_is_named_with_its_line(tmp_path):
    text = "model:\n  lookups:\n  - {name: id, rows: 10, dim: 8}\n  - {name: tag, rows: many, dim: 8}\n"
    found = of_file(read_plan, tmp_path, text, "plan.yaml")
    assert found.startswith(
        "line 4, `model.lookups[1].rows`: `model.lookups[1].rows` must be int. Received: "
    )
    (tmp_path / "plan.yaml").write_text(text.replace("many", "20"))
    assert [lookup.rows for lookup in read_plan(tmp_path / "plan.yaml")[0].lookups] == [10, 20]


def test_what_the_command_line_says_is_not_put_down_to_the_file(tmp_path, capsys):
    (tmp_path / "run.yaml").write_text("tower_units: [8]\n")
    given = ["--config", str(tmp_path / "run.yaml"), "--model", "deep", "--out", str(tmp_path / "run")]
    assert main(["train", "--data", "simulated", *given]) == 2
    error = capsys.readouterr().err
    assert "run.yaml" not in error
    assert "`model` must be one of" in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "must be YAML"),
        ("- 1", "must hold a mapping"),
        ("", "must hold a mapping"),
        ("a: \udce9", "UTF-8"),
    ],
)
def test_what_is_no_document_is_named(text, message, tmp_path):
    (tmp_path / "run.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=message):
        Document.read(tmp_path / "run.yaml")


def test_an_error_without_a_key_in_the_text_is_left_as_it_is():
    document = Document("a: 1", "x.yaml")
    with pytest.raises(ConfigError, match=r"^wrong$"), document.errors():
        raise ConfigError("wrong", ("b", 0))
    with pytest.raises(ValueError, match=r"^x\.yaml, line 1: wrong$"), document.errors():
        raise ConfigError("wrong")
