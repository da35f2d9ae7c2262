"""The page: whole, by itself, and saying what the runs' files say, no more."""

import copy
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason='needs the extra "viz"')
pytest.importorskip("polars", reason='needs the extra "data"')

from keras_smes.cli import main
from keras_smes.report import collect, tables, write_report
from keras_smes.report.collect import Group, Run
from keras_smes.training import RunConfig, train_run

pytestmark = pytest.mark.tensorflow

CONFIG = {
    "data": "simulated",
    "data_options": {"rows": 3000, "users": 80, "videos": 100, "days": 5},
    "experts": {"num_experts": 6, "num_shared": 1, "expert_units": [4]},
    "encoder": {"units": [8]},
    "training": {"epochs": 2},
}
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """What a page holds: its elements must be closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.rows, self.texts = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        if "style" not in self.open:
            self.texts.append(data)

    def values(self, name):
        return [value for key, value in self.attributes if key == name]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that was trained, the same of another seed, and one without routers: made of its files."""
    folder = tmp_path_factory.mktemp("runs")
    metrics = train_run(RunConfig.from_dict(CONFIG), folder / "smes-0", options=None)
    config = json.loads((folder / "smes-0" / "config.json").read_text())
    other = copy.deepcopy(metrics)
    other["tasks"]["click"]["auc"] += 0.02
    write(folder / "smes-1", {**config, "seed": 1}, other)
    dense = {**copy.deepcopy(metrics), "routing": {}, "instance": {}, "multiplications": 12_345}
    dense["tasks"]["click"]["auc"] = 0.99
    write(folder / "<b>dense & $x$", {**config, "model": "mmoe", "experts": {"num_experts": 3}}, dense)
    return folder


def write(folder, config, metrics):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture(scope="module")
def text(runs):
    folders = [str(runs / name) for name in ("smes-0", "smes-1", "<b>dense & $x$")]
    assert main(["report", *folders, "--out", str(runs / "pages" / "report.html")]) == 0
    return (runs / "pages" / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def row(page, *start):
    (found,) = [cells for cells in page.rows if tuple(cells[: len(start)]) == start]
    return found


def test_the_page_is_well_formed_and_has_no_id_twice(page):
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    linked = {value[1:] for value in page.values("href") if value.startswith("#")}
    assert linked <= set(ids)
    assert {"quality", "routing", "cost", "plots", "data", "configuration", "environment"} <= set(ids)


def test_the_page_needs_nothing_else(page, text):
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    for name in ("src", "href", "xlink:href", "data", "action"):
        assert all(value.startswith(("#", "data:image/png;base64,")) for value in page.values(name))
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert "@import" not in text
    assert not re.findall(r"url\((?!#)", text)


def test_names_are_text_and_nothing_else(page, text):
    assert "<b>dense" not in text
    assert "b" not in page.tags
    assert any("<b>dense & $x$" in own for own in page.texts)


def test_quality_is_that_of_the_files_with_the_spread_of_seeds(page, runs):
    auc = [
        json.loads((runs / f"smes-{seed}" / "metrics.json").read_text())["tasks"]["click"]["auc"]
        for seed in (0, 1)
    ]
    cells = row(page, "click", "smes")
    assert cells[2] == f"{np.mean(auc):.4f} ± {np.std(auc, ddof=1):.4f}"
    figures = json.loads((runs / "smes-0" / "metrics.json").read_text())["tasks"]["like"]
    cells = row(page, "like", "smes")
    for place, (name, digits) in enumerate([("auc", 4), ("gauc", 4), ("logloss", 4)], start=2):
        assert cells[place] == f"{figures[name]:.{digits}f}"
    assert cells[-2:] == [f"{figures['positives']:,}", f"{figures['rows']:,}"]


def test_the_best_mean_is_marked(text):
    best = re.findall(r'<td class="best">([^<]*)</td>', text)
    assert "0.9900" in best


def test_the_ratio_of_predictions_to_observations_is_best_near_one():
    def group(label, ratio):
        metrics = {
            "tasks": {"click": {"auc": 0.7, "predicted_over_observed": ratio, "rows": 9}},
            "split": {"test": {"rows": 9}},
        }
        return Group(label, [Run(label, {"data": "simulated"}, metrics, [])])

    (table,) = tables.quality([group("low", 0.01), group("near", 1.1), group("high", 1.9)])
    best = [cell.text for row in table.rows for cell in row if isinstance(cell, tables.Marked)]
    assert "1.100" in best
    assert not {"0.010", "1.900", "9"} & set(best)  # counts have no order


def test_routing_and_cost_are_those_of_the_files_and_what_is_missing_is_marked(page, runs):
    metrics = json.loads((runs / "smes-0" / "metrics.json").read_text())
    routing = metrics["routing"]
    cells = row(page, "smes", "6")
    assert cells[2] == f"{routing['union_mean']:.2f}"
    assert cells[5] == f"{routing['load_max_over_mean']:.2f}"
    assert ["<b>dense & $x$"] + ["–"] * 10 in page.rows
    assert row(page, "<b>dense & $x$", f"{metrics['parameters']['all']:,}")[3] == "12,345"
    missing = [own for own in page.texts if own.startswith("Not drawn")]
    assert missing.count("Not drawn: no layer chooses experts.") == 6


def test_figures_are_drawn_from_the_files(page, text):
    assert page.tags.count("svg") == 2 + 2 + 6 + 1  # both: losses, calibration; SMES: routing; all: cost
    titles = [own for own in page.texts if own.endswith(", smes-0")]
    assert len(titles) == 8
    assert "var(--ink)" in text
    assert "#222222" not in text


def test_settings_that_differ_are_shown_apart(page):
    assert ["model", "smes", "mmoe"] in page.rows
    assert ["seed", "0, 1", "0"] in page.rows
    differing = [cells[0] for cells in page.rows].index("model")
    everything = [cells[0] for cells in page.rows].index("seed")
    assert differing < everything
    assert ["encoder.units", "8", "8"] in page.rows[everything:]


def test_data_and_environment_are_there(page, runs):
    metrics = json.loads((runs / "smes-0" / "metrics.json").read_text())
    train = metrics["split"]["train"]
    cells = row(page, "smes", "simulated")
    assert cells[2:] == [
        "train",
        f"{train['rows']:,}",
        f"{train['users']:,}",
        train["first_date"],
        train["last_date"],
    ]
    assert row(page, "packages.keras")[1] == metrics["environment"]["packages"]["keras"]


def test_one_run_alone(runs, tmp_path):
    page = Page(write_report([runs / "smes-0"], tmp_path / "one.html").read_text())
    assert page.tags.count("svg") == 9
    assert any("how far seeds differ isn't known" in own for own in page.texts)


def test_runs_tested_on_other_rows_are_not_compared(runs, tmp_path):
    config, metrics = (json.loads((runs / "smes-0" / f"{n}.json").read_text()) for n in ("config", "metrics"))
    metrics["split"]["test"]["rows"] += 1
    write(tmp_path / "other", config, metrics)
    text = write_report([runs / "smes-0", tmp_path / "other"], tmp_path / "two.html").read_text()
    assert "tested on different rows" in text
    assert 'class="best"' not in text


def started_at(metrics, step):
    """The metrics of a run that goes on from another, which had taken so many steps."""
    start = {"run": "a", "digest": f"of {step}", "first_step": step, "new": {"rows": {}, "experts": 0}}
    return {**metrics, "start": start}


def test_a_run_and_its_successor_are_no_seeds_of_one_model(runs, tmp_path):
    """Whatever their seeds; successors of one step, of several seeds, are."""
    config, metrics = (json.loads((runs / "smes-0" / f"{n}.json").read_text()) for n in ("config", "metrics"))
    made = {"first-0": 0, "first-1": 1, "second-0": 0, "second-1": 1, "third-1": 1}
    for place, (name, seed) in enumerate(made.items()):
        step = 10 * (place // 2)
        write(tmp_path / name, {**config, "seed": seed}, started_at(metrics, step) if step else metrics)
    groups = collect([tmp_path / name for name in made])
    assert [[run.name for run in group.runs] for group in groups] == [
        ["first-0", "first-1"],
        ["second-0", "second-1"],
        ["third-1"],
    ]
    assert len({group.label for group in groups}) == 3


def test_the_same_seed_twice_is_no_mean_over_seeds(runs, tmp_path):
    config, metrics = (json.loads((runs / "smes-0" / f"{n}.json").read_text()) for n in ("config", "metrics"))
    for name in ("once", "again"):
        write(tmp_path / name, config, metrics)
    groups = collect([tmp_path / "once", tmp_path / "again"])
    assert [group.label for group in groups] == ["once", "again"]


def test_the_days_of_progressive_validation_are_runs(runs, tmp_path):
    config, metrics = (json.loads((runs / "smes-0" / f"{n}.json").read_text()) for n in ("config", "metrics"))
    for place, day in enumerate(("2026-11-02", "2026-11-01")):
        own = started_at(metrics, 10) if place == 0 else metrics
        write(tmp_path / "days" / day, config, own)
        (tmp_path / "days" / day / "day.json").write_text("{}")
    (tmp_path / "days" / "2026-11-03").mkdir()  # at which the command is
    (tmp_path / "days" / "results.json").write_text("{}")
    assert [group.label for group in collect([tmp_path / "days"])] == ["2026-11-01", "2026-11-02"]
    names = [group.label for group in collect([tmp_path / "days", runs / "smes-0"])]
    assert names == ["days: 2026-11-01", "days: 2026-11-02", "smes-0"]
    page = Page(write_report([tmp_path / "days"], tmp_path / "days.html").read_text())
    assert row(page, "2026-11-01", "simulated")


def test_an_experiment_is_its_runs_by_row(tmp_path):
    from pathlib import Path

    folder = Path(__file__).parents[2] / "experiments" / "kuairand_main"
    if not (folder / "runs.jsonl").exists():
        pytest.skip("no results of kuairand_main yet")
    results = json.loads((folder / "results.json").read_text())
    page = Page(write_report([folder], tmp_path / "experiment.html").read_text())
    for label, own in results["rows"].items():
        auc = own["metrics"]["click_auc"]
        expected = f"{auc['mean']:.4f}" + (f" ± {auc['spread']:.4f}" if auc["spread"] else "")
        assert any(expected in cells and label in cells for cells in page.rows)
    assert "Not drawn: the losses by epoch were not stored." in page.texts


def test_what_is_no_run_is_refused_by_name(runs, tmp_path, capsys):
    out = tmp_path / "report.html"
    (tmp_path / "empty").mkdir()
    assert main(["report", str(runs / "smes-0"), str(tmp_path / "empty"), "--out", str(out)]) == 2
    assert str(tmp_path / "empty") in capsys.readouterr().err
    write(tmp_path / "torn", {"data": "simulated"}, {})
    (tmp_path / "torn" / "metrics.json").write_text('{"tasks": ')
    with pytest.raises(ValueError, match=r"torn/metrics\.json must be a JSON file"):
        collect([tmp_path / "torn"])
    (tmp_path / "torn" / "metrics.json").write_text('{"tasks": {}}')
    with pytest.raises(ValueError, match=r"missing=\['routing', 'split', 'environment'\]"):
        collect([tmp_path / "torn"])
    with pytest.raises(ValueError, match="must name at least one run"):
        collect([])
    assert not out.exists()
