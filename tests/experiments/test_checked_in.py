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
        ("kuairand_tuning", "home/rate 0.003", "mean_auc", "0.7645"),
        ("kuairand_tuning", "ple/rate 0.003", "mean_auc", "0.7635"),
        ("kuairand_tuning", "mmoe/rate 0.003", "mean_auc", "0.7628"),
        ("kuairand_tuning", "shared_bottom/rate 0.006", "mean_auc", "0.7626"),
        ("kuairand_tuning", "smes/rate 0.003", "mean_auc", "0.7620"),
        ("kuairand_tuning", "naive_sparse/rate 0.006", "mean_auc", "0.7610"),
        ("kuairand_main", "smes", "click_auc", "0.7391"),
        ("kuairand_main", "smes", "click_gauc", "0.6326"),
        ("kuairand_main", "smes", "long_view_auc", "0.7391"),
        ("kuairand_main", "smes", "long_view_gauc", "0.6424"),
        ("kuairand_main", "smes", "mean_auc", "0.7775"),
        ("scaling", "E 128", "mean_auc", "0.9104"),
        ("simulated_capacity", "smes", "mean_auc", "0.9402"),
        ("simulated_capacity", "shared_bottom, equal multiplications", "mean_auc", "0.9353"),
        ("simulated_capacity", "mmoe, equal multiplications", "mean_auc", "0.9341"),
        ("simulated_capacity", "mmoe, equal parameters", "mean_auc", "0.9395"),
    ],
)
def test_readme_quotes_the_results(name, label, metric, text):
    assert f"{results_of(name)['rows'][label]['metrics'][metric]['mean']:.4f}" == text
    assert text in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("ple, equal multiplications", "+0.6 (-0.0 to 1.2)"),
        ("ple, equal parameters", "+0.7 (0.1 to 1.3)"),
        ("home, equal multiplications", "+0.1 (-0.6 to 0.9)"),
        ("mmoe, equal multiplications", "0.0 (-0.8 to 0.8)"),
        ("mmoe, equal parameters", "+0.2 (-0.6 to 1.1)"),
        ("shared_bottom, equal multiplications", "-1.5 (-2.1 to -1.0)"),
        ("naive_sparse, equal parameters", "-1.7 (-2.6 to -0.9)"),
    ],
)
def test_readme_quotes_the_differences(label, text):
    figures = results_of("kuairand_main")["rows"][label]["difference"]["mean_auc"]
    mean, low, high = (1000 * figures[name] for name in ("mean", "low", "high"))
    sign = "+" if round(mean, 1) > 0 else ""
    assert f"{sign}{mean:.1f} ({low:.1f} to {high:.1f})" == text
    assert text in (FOLDER / "README.md").read_text()
