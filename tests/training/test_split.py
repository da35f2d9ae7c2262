"""Where a run is cut is part of its configuration, and the same for all that look at its test rows."""

import dataclasses
import datetime
import json

import polars as pl
import pytest
from support.made_up_log import DAYS, write_feed

from keras_smes.cli import main
from keras_smes.data import load
from keras_smes.data.split import hashed_fractions
from keras_smes.data.split_config import cut, cut_plain
from keras_smes.training import RunConfig, SplitConfig, TrainingConfig, evaluate_run
from keras_smes.training.config import ValidationConfig
from keras_smes.training.run_folder import load_config, load_schema
from keras_smes.training.runs import hold_out

pytestmark = pytest.mark.tensorflow
SMALL = {
    "experts": {"num_experts": 4, "num_shared": 1, "num_private": 1, "expert_units": [8]},
    "training": {"epochs": 1, "batch_size": 128, "monitor_rows": 0},
}


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    return write_feed(tmp_path_factory.mktemp("feed"))


@pytest.fixture(scope="module")
def rows(feed):
    return load(str(feed))


def days_of(part):
    return sorted(part.frame[part.date].unique().to_list())


# The log has rows of the 1st, 2nd, 3rd, 5th and 6th, 300 each.
@pytest.mark.parametrize(
    ("stated", "train", "test"),
    [
        ({}, DAYS[:3], DAYS[3:]),  # its own: test_days: 2
        ({"train_until": "2026-11-02"}, DAYS[:2], DAYS[2:]),
        ({"test_from": DAYS[4]}, DAYS[:4], DAYS[4:]),
        ({"train_until": "2026-11-02", "test_from": "2026-11-05"}, DAYS[:2], DAYS[3:]),
        ({"train_until": DAYS[1], "test_until": DAYS[2]}, DAYS[:2], DAYS[2:3]),
        ({"test_days": 1}, DAYS[:4], DAYS[4:]),
        ({"test_days": 4}, DAYS[:2], DAYS[2:]),
        ({"test_days": 2, "test_until": "2026-11-03"}, DAYS[:1], DAYS[1:3]),
        ({"test_days": 1, "test_until": "2027-01-01"}, DAYS[:4], DAYS[4:]),
        ({"test_fraction": 0.35}, DAYS[:3], DAYS[3:]),
        ({"test_fraction": 0.01}, DAYS[:4], DAYS[4:]),
    ],
)
def test_days_are_whole_on_either_side(rows, stated, train, test):
    parts = cut_plain(rows, SplitConfig(**stated))
    assert (days_of(parts.train), days_of(parts.test)) == (train, test)
    assert cut(rows, SplitConfig(**stated)).description == parts.description


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"test_from": "May"}, "`test_from` must be a date such as .* Received: test_from='May'"),
        ({"train_until": 20261102}, "`train_until` must be a datetime.date. Received: train_until=20261102"),
        ({"test_until": "2026-11-02"}, "one way.*Received: test_until=2026-11-02"),
        ({"test_days": 2, "by": "hash"}, "one way.*test_days=2, by=hash"),
        ({"test_files": ("a",), "seed": 1}, "one way.*seed=1, test_files="),
        ({"test_days": 2, "train_until": "2026-11-02"}, "one way.*train_until=2026-11-02, test_days=2"),
        ({"test_fraction": 0.2, "test_until": "2026-11-02"}, "one way.*test_fraction=0.2"),
        ({"test_days": 0}, "`test_days` must be an integer of at least 1. Received: test_days=0"),
        ({"test_fraction": 1}, "`test_fraction` must be between 0 and 1. Received: test_fraction=1"),
        (
            {"train_until": "2026-11-05", "test_from": "2026-11-05"},
            "train_until=2026-11-05, test_from=2026-11-05",
        ),
        ({"test_from": "2026-11-05", "test_until": "2026-11-04"}, "`test_until` must not be before"),
    ],
)
def test_what_cuts_in_no_way_or_in_two_is_rejected_by_name(stated, message):
    with pytest.raises(ValueError, match=message):
        SplitConfig(**stated)


@pytest.mark.parametrize(
    ("stated", "part"),
    [
        ({"test_days": 6}, "train on. Received: test_days=6, feed with rows dated 2026-11-01 to 2026-11-06"),
        ({"train_until": "2026-11-06"}, "test on. Received: train_until=2026-11-06, feed"),
        ({"test_from": "2026-11-04", "test_until": "2026-11-04"}, "test on. Received: test_from=2026-11-04"),
    ],
)
def test_a_side_without_rows_is_rejected_by_what_was_stated(rows, stated, part):
    with pytest.raises(ValueError, match=f"must leave rows to {part}"):
        cut(rows, SplitConfig(**stated))


def test_rows_without_days_take_a_fraction_and_no_dates(rows):
    without = dataclasses.replace(
        rows, time=None, date=None, statistics=(), histories=(), split_dates=None, test_column=None
    )
    assert cut(without, SplitConfig(test_fraction=0.3)).description["by"] == "hash"
    with pytest.raises(ValueError, match=r"rows with a day. Received: test_days=2, feed without `date`"):
        cut(without, SplitConfig(test_days=2))


def test_a_hash_cuts_rows_that_have_days_too(rows):
    parts = cut_plain(rows, SplitConfig(test_fraction=0.3, by="hash", seed=5))
    tests = hashed_fractions(len(rows), 5) < 0.3
    assert len(parts.test) == tests.sum()
    assert parts.train.frame["ts"].to_list() == rows.frame["ts"].filter(~pl.Series(tests)).to_list()


def test_folds_share_the_rows_and_those_left_out_are_in_no_part(rows):
    hashed_n = hashed_fractions(len(rows), 5)
    numbered = dataclasses.replace(rows, frame=rows.frame.with_columns(place=pl.Series(hashed_n)))
    final = SplitConfig(test_fraction=0.1, by="hash", seed=5, left_out=[1])
    tuning = SplitConfig(test_fraction=0.1, by="hash", seed=5, fold=1, left_out=[0])
    for config, low in ((final, 0.0), (tuning, 0.1)):
        parts = cut_plain(numbered, config)
        assert parts.test.frame["place"].is_between(low, low + 0.1, closed="left").all()
        assert (parts.train.frame["place"] >= 0.2).all()
        assert len(parts.train) == (hashed_n >= 0.2).sum()
    assert len(parts.test) + len(cut_plain(numbered, final).test) + len(parts.train) == len(rows)


def test_a_log_may_state_folds(feed):
    config = SplitConfig(test_fraction=0.25, by="hash", fold=3, left_out=[0, 2])
    parts = cut_plain(load(str(feed), split=config), config)
    hashed_n = hashed_fractions(1500)
    assert len(parts.test) == (hashed_n >= 0.75).sum()
    assert len(parts.train) == ((hashed_n >= 0.25) & (hashed_n < 0.5)).sum()


@pytest.mark.parametrize(
    "values",
    [
        {"test_fraction": 0.1, "fold": 1},
        {"test_fraction": 0.1, "by": "time", "left_out": [1]},
        {"test_fraction": 0.1, "by": "hash", "fold": 10},
        {"test_fraction": 0.1, "by": "hash", "left_out": [0]},
        {"test_fraction": 0.1, "by": "hash", "fold": 2, "left_out": [1, 2]},
        {"test_fraction": 0.1, "by": "hash", "fold": -1},
        {"test_fraction": 0.1, "by": "hash", "left_out": [-1]},
    ],
)
def test_folds_that_are_none_are_rejected(values):
    with pytest.raises(ValueError, match=r"`(fold|left_out)`"):
        SplitConfig(**values)


def test_a_logs_files_may_lie_in_another_folder(feed, tmp_path):
    moved = tmp_path / "log.yaml"
    moved.write_text(feed.read_text())
    assert load(str(moved), feed.parent).frame.equals(load(str(feed)).frame)


def test_auto_features_are_of_the_rows_that_the_split_in_force_trains_on(tmp_path):
    """`late` is constant until the 3rd: no feature for those who train until then, one for the others."""
    days = [day for day in range(1, 7) for _ in range(4)]
    frame = pl.DataFrame({"day": [f"2026-11-0{day}" for day in days], "click": [0, 1, 1, 0] * 6})
    frame = frame.with_columns(
        late=pl.Series(["x" if day <= 3 else f"v{day}" for day in days]), n=pl.Series(range(24))
    )
    frame.write_csv(tmp_path / "rows.csv")
    path = tmp_path / "log.yaml"
    path.write_text("files: rows.csv\ndate: day\ntasks: [click]\nsplit: {test_days: 3}\n")
    assert load(str(path)).schema.names == ["n"]
    assert load(str(path), split=SplitConfig(test_days=1)).schema.names == ["late", "n"]
    assert load(str(path), split=SplitConfig()).schema.names == ["n"]
    config = {"data": str(path), "split": {"test_days": 1}, **SMALL}
    (tmp_path / "run.json").write_text(json.dumps(config))
    given = {"--data": path, "--config": tmp_path / "run.json", "--out": tmp_path / "run"}
    assert main(["train", *(str(part) for pair in given.items() for part in pair)]) == 0
    assert load_schema(tmp_path / "run").names == ["late", "n"]
    evaluated = evaluate_run(tmp_path / "run", first=datetime.date(2026, 11, 4))
    assert evaluated["split"]["test"]["rows"] == 12


def test_files_of_test_rows_stand_in_a_log():
    with pytest.raises(ValueError, match=r"`split.test_files` must stand in the YAML of a log.*a.csv"):
        RunConfig("simulated", split=SplitConfig(test_files=("a.csv",)))


@pytest.mark.parametrize(("fraction", "held"), [(0.01, 1), (0.4, 1), (0.6, 2)])
def test_a_fraction_held_out_is_of_whole_days(rows, feed, fraction, held):
    """Of the three training days, 300 rows each, those nearest to the fraction are held out."""
    config = RunConfig(str(feed), training=TrainingConfig(validation=ValidationConfig(fraction=fraction)))
    train, validation = hold_out(config, rows, cut(rows, config.split))
    assert days_of(train) == DAYS[: 3 - held]
    assert days_of(validation) == DAYS[3 - held : 3]


def test_a_fraction_of_a_single_day_is_its_last_rows(rows, feed):
    training = TrainingConfig(validation=ValidationConfig(fraction=0.25))
    config = RunConfig(str(feed), split=SplitConfig(train_until=DAYS[0]), training=training)
    train, validation = hold_out(config, rows, cut(rows, config.split))
    assert (len(train), len(validation)) == (225, 75)
    assert train.frame[rows.time].max() < validation.frame[rows.time].min()


def test_it_is_kept_as_json_and_read_again():
    config = RunConfig.from_dict({"data": "simulated", "split": {"test_from": "2022-04-20"}})
    assert config.split.test_from == datetime.date(2022, 4, 20)
    values = json.loads(json.dumps(config.to_dict()))
    assert values["split"]["test_from"] == "2022-04-20"
    assert RunConfig.from_dict(values) == config
    with pytest.raises(ValueError, match=r"unknown=\['split.from'\]"):
        RunConfig.from_dict({"data": "simulated", "split": {"from": 1}})
    with pytest.raises(ValueError, match=r"`split.test_days` must be .* Received: split.test_days='two'"):
        RunConfig.from_dict({"data": "simulated", "split": {"test_days": "two"}})


@pytest.fixture(scope="module")
def train(feed):
    """Runs `keras-smes train` on the log."""
    config = feed.parent / "small.json"
    config.write_text(json.dumps({**SMALL, "split": {"test_fraction": 0.5}}))

    def command(name, *options):
        out = ["--out", str(feed.parent / name)]
        return main(["train", "--data", str(feed), "--config", str(config), *out, *options])

    return command


@pytest.fixture(scope="module")
def run(train, feed):
    assert train("run", "--train-until", "2026-11-02", "--test-until", "2026-11-03") == 0
    return feed.parent / "run"


def split_of(run):
    return json.loads((run / "metrics.json").read_text())["split"]


def test_options_beat_the_file_and_are_kept(run):
    assert load_config(run).split == SplitConfig("2026-11-02", None, "2026-11-03")
    assert split_of(run)["train"]["last_date"] == "2026-11-02"
    assert split_of(run)["test"]["first_date"] == split_of(run)["test"]["last_date"] == "2026-11-03"


def test_evaluation_is_of_the_run_s_own_test_rows(run):
    metrics = json.loads((run / "metrics.json").read_text())
    assert evaluate_run(run)["tasks"] == metrics["tasks"]
    assert evaluate_run(run, first=DAYS[3])["split"]["test"]["rows"] == 600


def test_a_gate_is_of_the_run_s_own_test_rows(run, monkeypatch, tmp_path):
    from keras_smes.incremental import QualityGate, export, judge_run
    from keras_smes.training import MetricOfTask

    asked = []
    monkeypatch.setattr(export, "metrics_of_newest", lambda folder, rows: asked.append(rows))
    assert judge_run(run, tmp_path, QualityGate(MetricOfTask("click", "auc"), within=0.1)).passed
    assert days_of(asked[0]) == [DAYS[2]]


def test_a_run_that_goes_on_sees_every_day(run, train, feed):
    """Neither the log's own split nor that of the run before hides the last days."""
    from keras_smes.incremental import continue_run

    metrics = continue_run(run, feed.parent / "next", from_date=DAYS[2])
    train_days, test_days = metrics["split"]["train"], metrics["split"]["test"]
    assert (train_days["first_date"], train_days["last_date"]) == ("2026-11-03", "2026-11-05")
    assert test_days["first_date"] == test_days["last_date"] == "2026-11-06"
    assert evaluate_run(feed.parent / "next")["tasks"] == metrics["tasks"]


def test_a_run_that_goes_on_takes_dates(run, train, feed, capsys):
    options = ["--from", str(run), "--from-date", "2026-11-03"]
    assert train("dated", *options, "--test-from", "2026-11-05", "--test-until", "2026-11-05") == 0
    split = split_of(feed.parent / "dated")
    assert (split["train"]["first_date"], split["train"]["last_date"]) == ("2026-11-03", "2026-11-03")
    assert (split["test"]["first_date"], split["test"]["last_date"]) == ("2026-11-05", "2026-11-05")
    capsys.readouterr()
    assert train("late", *options[:3], "2026-11-06", "--test-days", "1") == 2
    assert "from_date=2026-11-06, rows to train on until 2026-11-05" in capsys.readouterr().err
    assert train("both", "--test-days", "1", "--train-until", "2026-11-02") == 2
    assert "train_until=2026-11-02, test_days=1" in capsys.readouterr().err


def test_progressive_takes_no_split_and_each_day_keeps_its_own(run, feed, tmp_path, capsys):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**SMALL, "split": {"test_days": 1}}))
    command = ["progressive", "--data", str(feed), "--from", str(run), "--from-date", "2026-11-05"]
    command += ["--config", str(config), "--out", str(tmp_path / "days"), "--no-figures"]
    assert main(command) == 2
    assert "`split` must be left out" in capsys.readouterr().err
    config.write_text(json.dumps(SMALL))
    assert main(command) == 0  # though the run has a split
    day = tmp_path / "days" / "2026-11-05"
    assert load_config(day).split.test_from == DAYS[4]
    assert evaluate_run(day)["tasks"] == json.loads((day / "metrics.json").read_text())["tasks"]
    assert main(command) == 0  # the finished day is taken as it is
