"""The checked-in experiments: equal where they say so, and tables that say what the results say."""

import json
from pathlib import Path

import pytest
from scipy import stats

pytest.importorskip("polars", reason='needs the extra "data"')
pytest.importorskip("yaml", reason='needs the extra "config"')

from keras_smes.baselines.cost import executed_multiplications, parameters
from keras_smes.data import SplitConfig
from keras_smes.experiments import Experiment, to_markdown

FOLDER = Path(__file__).parents[2] / "experiments"
CONFIGS = sorted(FOLDER.glob("*.yaml"))
DONE = sorted(FOLDER.glob("*/results.json"))
SIZES = {
    "kuairand_main": (3, 128),
    "census_main": (2, 128),
    "simulated_capacity": (4, 82),
}  # tasks, and the width of h
WITHIN = 0.08


def by_name(path):
    return path.stem if path.suffix == ".yaml" else path.parent.name


@pytest.mark.parametrize("path", CONFIGS, ids=by_name)
def test_configuration_is_one(path):
    assert Experiment.read(path).runs()


@pytest.mark.parametrize("name", SIZES)
def test_models_are_as_equal_as_their_labels_say(name):
    experiment = Experiment.read(FOLDER / f"{name}.yaml")
    layers = {run.label: build(run.config, *SIZES[name]) for run in experiment.runs()}
    measured = results_of(name)["rows"][experiment.reference]["routing"]["union_mean"]
    reference = layers[experiment.reference]
    for label, layer in layers.items():
        if label.endswith("equal multiplications"):
            target = executed_multiplications(reference, measured)
            assert executed_multiplications(layer) == pytest.approx(target, rel=WITHIN), label
        elif label.endswith("equal parameters"):
            assert parameters(layer) == pytest.approx(parameters(reference), rel=WITHIN), label


def build(config, num_tasks, width):
    layer = config.build_experts(num_tasks)
    layer.build((None, width))
    return layer


def results_of(name):
    path = FOLDER / name / "results.json"
    if not path.exists():
        pytest.skip(f"no results of {name} yet")
    return json.loads(path.read_text())


def test_every_family_was_tuned_alike():
    experiment = Experiment.read(FOLDER / "kuairand_tuning.yaml")
    main = Experiment.read(FOLDER / "kuairand_main.yaml")
    assert {run.config.model for run in main.runs()} <= {run.config.model for run in experiment.runs()}
    assert experiment.split["test_until"].isoformat() < "2022-05-05"  # the first test day of the main one
    assert not set(experiment.seeds) & set(main.seeds)


def test_models_on_kuairand_have_the_best_rate_of_their_trials():
    tuned, main = results_of("kuairand_tuning")["rows"], Experiment.read(FOLDER / "kuairand_main.yaml")
    for model, rate in {run.config.model: run.config.optimizer.learning_rate for run in main.runs()}.items():
        trials = {name: row["metrics"]["mean_auc"]["mean"] for name, row in tuned.items()}
        own = {name: mean for name, mean in trials.items() if name.startswith(f"{model}/")}
        assert max(own.values()) - own[f"{model}/rate {rate}"] < 5e-5, model  # SMES has two rates alike


def test_census_is_tuned_on_rows_that_its_test_has_not():
    tuning, main = (Experiment.read(FOLDER / f"census_{name}.yaml") for name in ("tuning", "main"))
    assert {run.config.model for run in main.runs()} <= {run.config.model for run in tuning.runs()}
    splits = [SplitConfig(**experiment.split).hashed_tests(2000) for experiment in (tuning, main)]
    for own, other in (splits, reversed(splits)):
        assert other.filter(own).null_count() == own.sum()  # what one tests, the other leaves out
    assert not set(tuning.seeds) & set(main.seeds)


@pytest.mark.parametrize("path", DONE, ids=by_name)
def test_table_says_what_the_results_say(path):
    results = json.loads(path.read_text())
    assert (path.parent / "README.md").read_text() == to_markdown(results)
    assert results["experiment"] == Experiment.read(path.parent.with_suffix(".yaml")).to_dict()


@pytest.mark.parametrize("path", DONE, ids=by_name)
def test_runs_are_those_that_the_configuration_asks_for(path):
    experiment = Experiment.read(path.parent.with_suffix(".yaml"))
    lines = (path.parent / "runs.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["key"] for line in lines) == sorted(run.key for run in experiment.runs())


@pytest.mark.parametrize("path", DONE, ids=by_name)
def test_means_are_those_of_the_values(path):
    for row in json.loads(path.read_text())["rows"].values():
        for metric in row["metrics"].values():
            assert metric["mean"] == pytest.approx(sum(metric["values"]) / len(metric["values"]))
            assert len(metric["values"]) == len(row["seeds"])


@pytest.mark.parametrize("path", DONE, ids=by_name)
def test_intervals_are_those_of_the_paired_t_test(path):
    results = json.loads(path.read_text())
    reference = results["rows"][results["experiment"]["reference"]]["metrics"]
    for row in results["rows"].values():
        for name, difference in row["difference"].items():
            if difference["pairs"] == 1:
                assert difference["low"] is difference["high"] is None
                continue
            expected = stats.ttest_rel(row["metrics"][name]["values"], reference[name]["values"])
            low, high = expected.confidence_interval(0.95)
            assert (difference["low"], difference["high"]) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("name", "label", "metric", "text"),
    [
        ("scaling", "E 8", "mean_auc", "0.8962"),
        ("scaling", "E 128", "mean_auc", "0.9111"),
        ("scaling", "E 8, rank 8", "mean_auc", "0.8967"),
        ("scaling", "E 32, rank 8", "mean_auc", "0.9173"),
        ("scaling", "E 128, rank 8", "mean_auc", "0.9253"),
        ("simulated_capacity", "smes", "mean_auc", "0.9420"),
        ("simulated_capacity", "shared_bottom, equal multiplications", "mean_auc", "0.9357"),
        ("simulated_capacity", "mmoe, equal multiplications", "mean_auc", "0.9338"),
        ("simulated_capacity", "mmoe, 32 experts", "mean_auc", "0.9398"),
    ],
)
def test_readme_quotes_the_results(name, label, metric, text):
    assert f"{results_of(name)['rows'][label]['metrics'][metric]['mean']:.4f}" == text
    assert text in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize("name", ["kuairand_main", "census_main"])
def test_readme_quotes_means_and_differences(name):
    readme = (FOLDER / "README.md").read_text()
    experiment = Experiment.read(FOLDER / f"{name}.yaml")
    for label, row in results_of(name)["rows"].items():
        for metric, values in row["metrics"].items():
            assert not metric.endswith("_auc") or f"{values['mean']:.4f}" in readme, (label, metric)
        if label != experiment.reference:
            for kind in ("difference", "difference_over_users"):
                assert as_text(row[kind]["mean_auc"]) in readme, (label, kind)


def as_text(difference):
    mean, low, high = (1000 * difference[name] for name in ("mean", "low", "high"))
    return f"{'+' if round(mean, 1) > 0 else ''}{mean:.1f} ({low:.1f} to {high:.1f})"
