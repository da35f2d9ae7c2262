"""Numbers as text, by hand."""

import pytest

from keras_smes.formatting import markdown_table, mean_and_spread, metric, number, text_table, title


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(None, 4, "-"), (0.5, 4, "0.5000"), (12345.678, 1, "12,345.7"), (12345, 4, "12,345"), (0, 2, "0")],
)
def test_numbers(value, decimals, text):
    assert number(value, decimals) == text


def test_metrics_have_their_title_and_decimals():
    assert (title("logloss"), metric("logloss", 0.69314)) == ("log loss", "0.6931")
    assert metric("union_mean", 3.14159) == "3.14"


def test_one_seed_has_no_spread():
    assert mean_and_spread(0.7, None) == "0.7000"
    assert mean_and_spread(0.7, 0.01) == "0.7000 ± 0.0100"


def test_a_table():
    assert (
        markdown_table(["model", "AUC"], [["smes", "0.7"]])
        == "| model | AUC |\n| --- | ---: |\n| smes | 0.7 |"
    )


def test_columns_of_text_are_aligned():
    rows = [["click", "SMES", "0.7"], ["long view", "MMoE", "10.25"]]
    assert text_table(["task", "model", "AUC"], rows, names=2).splitlines() == [
        "task       model    AUC",
        "click      SMES     0.7",
        "long view  MMoE   10.25",
    ]
