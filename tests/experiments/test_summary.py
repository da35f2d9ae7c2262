"""The table's arithmetic, on runs written down by hand."""

import numpy as np
import pytest

pytest.importorskip("polars", reason='needs the extra "data"')

from keras_smes.experiments import Experiment, summarize, to_markdown
from keras_smes.experiments.intervals import hierarchical_difference

EXPERIMENT = Experiment(
    "small", "Which?", "simulated", {"smes": {}, "mmoe": {"model": "mmoe"}}, seeds=[0, 1], reference="mmoe"
)


def line(label, seed, click, like, routing=None, latency=None, oracle=True):
    return {
        "label": label,
        "seed": seed,
        "tasks": {"click": {"auc": click, "gauc": 0.5}, "like": {"auc": like, "gauc": None}},
        "routing": routing or {},
        "cost": {"parameters": 10.0, "all_parameters": 20.0, "multiplications": 5.0 + seed},
        "speed": {"rows_per_second": 100.0 * (seed + 1), "latency_ms": latency},
        "split": {
            part: {"rows": 8, "first_date": "2022-05-01", "last_date": "2022-05-02"}
            for part in ("train", "test")
        },
        "environment": {
            "packages": {"keras": "3"},
            "python": "3.11",
            "machine": "here",
            "cpus": 2,
            "commit": "abc",
        },
        **(
            {"oracle": {"click": {"auc": 0.9, "gauc": 0.8}, "like": {"auc": 0.8, "gauc": 0.7}}}
            if oracle
            else {}
        ),
    }


def routing(worst, dead):
    return {
        "union_mean": 3.0,
        "union_bound": 5,
        "load_max_over_mean": worst,
        "dead_experts": dead,
        "num_experts": 8,
        "expert_load": [1 / 8] * 8,
    }


@pytest.fixture
def results():
    return summarize(
        EXPERIMENT,
        [
            line("smes", 0, 0.75, 0.7, routing(1.5, 0), latency=4.0),
            line("mmoe", 0, 0.70, 0.6),
            line("smes", 1, 0.79, 0.5, routing(2.5, 1)),
            line("mmoe", 1, 0.72, 0.6),
        ],
    )


def test_means_and_spreads(results):
    click = results["rows"]["smes"]["metrics"]["click_auc"]
    assert click["mean"] == pytest.approx(0.77)
    assert click["spread"] == pytest.approx(np.std([0.75, 0.79], ddof=1))
    assert results["rows"]["smes"]["metrics"]["mean_auc"]["values"] == pytest.approx([0.725, 0.645])
    assert "like_gauc" not in results["rows"]["smes"]["metrics"]  # not defined in these rows


def test_differences_are_paired_by_seed(results):
    difference = results["rows"]["smes"]["difference"]["click_auc"]
    assert difference["mean"] == pytest.approx(0.06)  # 0.05 and 0.07
    # The standard error is 0.01, and t of one degree of freedom 12.706.
    assert (difference["low"], difference["high"]) == pytest.approx(
        (0.06 - 0.12706, 0.06 + 0.12706), abs=1e-5
    )
    assert results["rows"]["mmoe"]["difference"] == {}


def test_cost_speed_and_routing(results):
    row = results["rows"]["smes"]
    assert row["cost"]["multiplications"] == 5.5
    assert row["speed"] == {"rows_per_second": 150.0, "latency_ms": 4.0}
    assert row["routing"]["load_max_over_mean"] == 2.0
    assert (row["routing"]["load_max_over_mean_worst"], row["routing"]["dead_experts_worst"]) == (2.5, 1)


def test_routing_table_shows_the_load_on_training_rows_where_all_runs_have_it():
    trained = {"train_load_max_over_mean": 1.25, "train_dead_experts": 2}
    lines = [line("smes", seed, 0.7, 0.7, routing(2.0, seed) | trained) for seed in (0, 1)]
    assert "| smes | 8 | 3.00 | 5 | 2.00 (2.00) | 0.5 (1.0) | 1.25 (1.25) | 2.0 (2.0) |" in table_of(lines)
    del lines[1]["routing"]["train_dead_experts"]
    assert "| 1.25 (1.25) | - |" in table_of(lines)


def table_of(lines):
    return to_markdown(summarize(EXPERIMENT, lines))


def test_unfinished_runs_show():
    results = summarize(
        EXPERIMENT, [line("smes", 0, 0.7, 0.7), line("smes", 1, 0.7, 0.7), line("mmoe", 1, 0.6, 0.7)]
    )
    assert not results["is_complete"]
    difference = results["rows"]["smes"]["difference"]["click_auc"]
    assert (difference["pairs"], difference["low"], difference["high"]) == (1, None, None)
    assert "| smes | 1 | +50.00 | +100.00 | +0.00 |" in to_markdown(results)  # a mean without an interval
    assert "not all runs are finished" in to_markdown(results)


def test_markdown_shows_the_values(results):
    text = to_markdown(results)
    assert "| smes | 2 | 0.6850 ± 0.0566 | 0.7700 ± 0.0283 |" in text
    assert "| smes | 2 | +30.00 [-541.78, +601.78] | +60.00 [-67.06, +187.06] |" in text
    # From 0.77 to 0.71 of 0.9: the reference is behind, by 0.06 of 0.13.
    assert "| smes | -46% | 0% |" in text
    assert "not all runs" not in text


def test_no_oracle_no_gap():
    lines = [line(label, seed, 0.7, 0.7, oracle=False) for label in ("smes", "mmoe") for seed in (0, 1)]
    assert "oracle" not in to_markdown(summarize(EXPERIMENT, lines))


def without_groups(line, click, like):
    """The line with metrics without each of two groups."""
    return {**line, "without_groups": {"click_auc": click, "like_auc": like, "like_gauc": [None, None]}}


def test_differences_over_users_are_of_pseudo_values():
    lines = [
        without_groups(line("smes", 0, 0.75, 0.7), [0.74, 0.76], [0.7, 0.7]),
        without_groups(line("mmoe", 0, 0.70, 0.6), [0.70, 0.70], [0.6, 0.6]),
        without_groups(line("smes", 1, 0.79, 0.5), [0.79, 0.79], [0.5, 0.5]),
        without_groups(line("mmoe", 1, 0.72, 0.6), [0.72, 0.72], [0.6, 0.6]),
    ]
    found = summarize(EXPERIMENT, lines)["rows"]["smes"]["difference_over_users"]
    # Pseudo-values of seed 0 are 0.76 and 0.74 for 0.70, of seed 1 twice 0.79 for 0.72.
    expected = hierarchical_difference([[0.76, 0.74], [0.79, 0.79]], [[0.70, 0.70], [0.72, 0.72]])
    assert tuple(found["click_auc"].values()) == pytest.approx(tuple(expected))
    assert found["mean_auc"]["mean"] == pytest.approx(0.03)
    assert "like_gauc" not in found


def test_the_table_has_intervals_over_users_where_runs_know_them(results):
    assert "over seeds and users" not in to_markdown(results)


def test_the_table_of_rows_without_days_and_users():
    lines = [line("smes", 0, 0.75, 0.7, oracle=False), line("mmoe", 0, 0.70, 0.6, oracle=False)]
    for own in lines:
        own["split"] = {"train": {"rows": 1600}, "test": {"rows": 200}}
        own["tasks"]["click"]["gauc"] = None
    text = to_markdown(summarize(EXPERIMENT, lines))
    assert "train: 1,600 rows; test: 200 rows." in text
    assert "gauc" not in text
