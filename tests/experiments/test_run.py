"""An experiment from its file to its table, killed and taken up again."""

import json
import os

import pytest
from support.processes import TRAIN, Process, killed_at_the_end, wait_until

pytest.importorskip("polars", reason='needs the extra "data"')

from keras_smes.cli import main
from keras_smes.experiments import Experiment, run_experiment, write_report
from keras_smes.experiments.run import append_run, check_part, read_runs
from keras_smes.locks import locked

pytestmark = pytest.mark.tensorflow

VALUES = {
    "question": "Does it go on where it stopped?",
    "data": "simulated",
    "data_options": {"rows": 2000, "users": 60, "videos": 80, "days": 4, "seed": 3},
    "seeds": [0, 1],
    "common": {"encoder": {"units": [8]}, "tower_units": [4], "training": {"epochs": 1, "batch_size": 256}},
    "models": {
        "smes": {"experts": {"num_experts": 8, "num_shared": 1, "expert_units": [4, 4]}},
        "shared": {"model": "shared_bottom", "experts": {"expert_units": [4, 4]}},
    },
}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("experiments") / "small.json"
    path.write_text(json.dumps(VALUES))
    return path


@pytest.fixture(scope="module")
def undisturbed(config):
    """The results of an experiment that nothing disturbed, done in two parts."""
    out = config.parent / "undisturbed"
    for part in ("0", "1"):
        command = ["experiment", str(config), "--out", str(out), "--part", part, "2", "--no-figures"]
        assert main(command) == 0
    return json.loads((out / "results.json").read_text())


def quality(results):
    """What doesn't depend on the clock."""
    return {
        label: {name: row[name] for name in ("seeds", "metrics", "difference", "cost", "routing")}
        for label, row in results["rows"].items()
    }


def test_parts_make_a_whole(undisturbed):
    assert undisturbed["is_complete"]
    assert list(undisturbed["rows"]) == ["smes", "shared"]
    row = undisturbed["rows"]["smes"]
    assert row["seeds"] == [0, 1]
    assert row["cost"]["parameters"] > 0
    assert row["speed"]["rows_per_second"] > 0
    assert row["speed"]["latency_ms"] > 0
    assert set(undisturbed["oracle"]) == {"click", "long_view", "like", "comment", "follow", "forward"}


def test_killed_and_taken_up_it_gives_the_same(config, undisturbed):
    out = config.parent / "killed"
    process = Process(TRAIN, ["experiment", config, "--out", out, "--no-figures"], config.parent / "log")
    with killed_at_the_end({"process": process}):
        wait_until(lambda: read_runs(out / "runs.jsonl"), "a run")
    done = len(read_runs(out / "runs.jsonl"))
    assert 1 <= done < 4
    with (out / "runs.jsonl").open("a") as file:
        file.write('{"key": "cut sh')  # as a kill in the middle of a line would leave it
    results = run_experiment(Experiment.read(config), out, figures=False)
    assert len((out / "runs.jsonl").read_text().splitlines()) == 4 + 1
    assert quality(results) == quality(undisturbed)


def test_a_second_process_of_the_same_seeds_is_rejected_and_of_others_is_not(config, undisturbed, capsys):
    out = config.parent / "shared"
    out.mkdir()
    lines = (config.parent / "undisturbed" / "runs.jsonl").read_text().splitlines()
    of_one = [line for line in lines if json.loads(line)["seed"] == 1]
    (out / "runs.jsonl").write_text("\n".join(of_one) + "\n")
    with locked(out, "seed-0"):  # as a process with --part 0 2 does
        command = ["experiment", str(config), "--out", str(out), "--no-figures"]
        for part in (["0", "2"], ["0", "1"]):
            assert main([*command, "--part", *part]) == 2
            assert f"its seed-0 held by process {os.getpid()} on" in capsys.readouterr().err
        assert main([*command, "--part", "1", "2"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "results.json", "runs.jsonl"]


def test_figures_and_report_need_no_run(config, undisturbed):
    pytest.importorskip("matplotlib", reason='needs the extra "viz"')
    out = config.parent / "undisturbed"
    before = (out / "runs.jsonl").read_bytes()
    assert main(["experiment", str(config), "--out", str(out), "--report"]) == 0
    assert (out / "runs.jsonl").read_bytes() == before
    assert {path.name for path in out.glob("*.png")} == {"quality.png", "cost.png", "load.png"}


def test_a_finished_line_after_a_torn_one_is_read(tmp_path):
    path = tmp_path / "runs.jsonl"
    append_run(path, {"key": "a"})
    with path.open("a") as file:
        file.write('{"key": "b", "la')
    append_run(path, {"key": "c"})
    assert list(read_runs(path)) == ["a", "c"]


def test_nothing_finished_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must hold finished runs of small"):
        write_report(Experiment(name="small", **VALUES), tmp_path)


@pytest.mark.parametrize("part", [(2, 2), (-1, 2), (0, 0)])
def test_wrong_parts_are_refused(part):
    with pytest.raises(ValueError, match="part"):
        check_part(part)
