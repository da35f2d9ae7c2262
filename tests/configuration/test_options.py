"""Options of a configuration: a wrong name or type is one line that names it, and exit code 2."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

pytest.importorskip("polars", reason='needs the extra "data"')
pytest.importorskip("yaml", reason='needs the extra "config"')

from keras_smes.cli import main
from keras_smes.configuration.structure import check_typed
from keras_smes.data import load

FLOATS = Mapping[str, Mapping[str, float]]


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (3, int),
        (np.int64(3), int),
        (3, float),
        (0.5, float | None),
        (None, float | None),
        (True, bool),
        ("a", str | int),
        ([1, 2], Sequence[int]),
        ((1, 2), int | Sequence[int]),
        ({"g": {"click": 1}}, FLOATS),
    ],
)
def test_values_of_a_type_pass(value, hint):
    check_typed("option", value, hint)


@pytest.mark.parametrize(
    ("value", "hint", "spelled"),
    [
        (True, int, "int"),
        (1, bool, "bool"),
        (3.0, int, "int"),
        ("3", int | None, "int | None"),
        ("click", Sequence[str], "Sequence[str]"),
        ([1, 2, "3"], Sequence[int], "Sequence[int]"),
        ({"g": {"click": "much"}}, FLOATS, "Mapping[str, Mapping[str, float]]"),
        (None, Sequence[int], "Sequence[int]"),
    ],
)
def test_values_of_another_type_are_rejected_by_name(value, hint, spelled):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the whole text is compared
        check_typed("option", value, hint)
    assert str(caught.value).startswith(f"`option` must be {spelled}. Received: option={value!r}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_options: {row: 1000}", "unknown=['row']"),
        ("data_options: {rows: 1e3}", "`data_options.rows` must be int"),
        ("data_options: {rows: [1000]}", "`data_options.rows` must be int"),
        ("data_options: {noise: loud}", "`data_options.noise` must be float"),
        ("data_options: {contexts: 3}", "`data_options.contexts` must be Sequence[int]"),
        ("data_options: {groups: [click]}", "`data_options.groups` must be Mapping"),
        ("data_options: {groups: {g: {click: often}}}", "`data_options.groups` must be Mapping"),
        ("data_options: {half_life: week}", "`data_options.half_life` must be float | None"),
        ("data_options: {rates: click}", "`data_options.rates` must be Sequence[str] | None"),
        ("data_options: {folder: here}", "unknown=['folder']"),
        ("data_options: {name: movielens-100k}", "unknown=['name']"),
        ("data_options: {1: 2}", "data_options"),
        ("data_options: 7", "`data_options` must be Mapping"),
        ("training: 3", "`training` must be a mapping"),
        ("training:", "`training` must be a mapping"),
        ("experts: {num_experts: many}", "`experts.num_experts` must be int"),
        ("seed: '1'", "`seed` must be int"),
    ],
)
@pytest.mark.parametrize("command", ["train", "progressive"])
def test_a_wrong_option_is_one_line_and_code_2(tmp_path, capsys, text, message, command):
    (tmp_path / "run.yaml").write_text(text + "\n")
    options = ["--config", str(tmp_path / "run.yaml"), "--epochs", "1", "--out", str(tmp_path / "run")]
    assert main([command, "--data", "simulated", *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "run").exists()


def test_data_sets_have_their_own_options():
    with pytest.raises(ValueError, match=r"must be among .*'sha256'.*unknown=\['rows'\]"):
        load("movielens-100k", rows=5)
    with pytest.raises(ValueError, match=r"must be among .*'left_out'.*unknown=\['rows'\]"):
        load("kuairand-pure", "nowhere", rows=5)
    with pytest.raises(ValueError, match=r"`data_options\.history` must be int"):
        load("kuairand-pure", "nowhere", history="10")
    assert len(load("simulated", rows=np.int64(200), half_life=7)) == 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: 5", "`model` must be a mapping"),
        ("model: {experts: 5}", "line 1, `model.experts`: Configuration keys must be among"),
        ("model: {lookups: []}\ncluster: [1]", "`cluster` must be a mapping"),
    ],
)
def test_a_wrong_plan_is_one_line_and_code_2(tmp_path, capsys, text, message):
    (tmp_path / "plan.yaml").write_text(text + "\n")
    assert main(["plan", str(tmp_path / "plan.yaml")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
