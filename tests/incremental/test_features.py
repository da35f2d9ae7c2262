"""A run's statistics and histories as of a day: versions of tables that agree with its test rows."""

import datetime
import json

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from polars.testing import assert_frame_equal
from support.made_up_log import DAYS, write_feed

from keras_smes.cli import main
from keras_smes.data import FeatureTables, load, split_with_statistics
from keras_smes.incremental import write_features
from keras_smes.training import RunConfig, TrainingConfig, load_run, train_run

pytestmark = pytest.mark.tensorflow
EXPERTS = {"num_experts": 4, "num_shared": 1, "num_private": 1, "expert_units": [8]}


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    return write_feed(tmp_path_factory.mktemp("feed"))


@pytest.fixture(scope="module")
def own_run(feed):
    training = TrainingConfig(epochs=1, batch_size=128, monitor_rows=0)
    train_run(RunConfig(str(feed), experts=EXPERTS, training=training), feed.parent / "run")
    return feed.parent / "run"


def test_the_command_writes_what_the_test_rows_were_measured_with(own_run, feed, tmp_path, capsys):
    to = tmp_path / "features"
    for number in (1, 2):
        assert main(["features", str(own_run), "--as-of", str(DAYS[3]), "--to", str(to)]) == 0
        printed = capsys.readouterr().out
        assert "statistics/item.parquet: 30 keys of item_id" in printed
        assert f"as of {DAYS[3]} are in {to / str(number)}." in printed
    assert sorted(path.name for path in to.iterdir()) == ["1", "2"]
    manifest = json.loads((to / "2" / "manifest.json").read_text())
    assert (manifest["version"], manifest["as_of"], manifest["rows"]) == (2, str(DAYS[3]), 900)
    assert (manifest["run"], manifest["data"]) == (str(own_run), "feed")
    items = pl.read_parquet(to / "2" / "statistics" / "item.parquet")
    assert items.columns == ["item_id", "item_impressions", "item_click_logodds"]
    test = split_with_statistics(load(str(feed))).test  # frozen at the 5th, their first day
    names = [*items.columns[1:], "seen"]
    served = FeatureTables.read(to / "2").join(test.frame.drop(names))
    assert_frame_equal(served.select(names), test.frame.select(names), check_exact=True)


def test_an_export_with_the_tables_takes_ids_and_scores_as_the_run_was_measured(
    own_run, feed, tmp_path, capsys
):
    pytest.importorskip("tensorflow_serving", reason='needs the extra "serving"')
    features, models = tmp_path / "features", tmp_path / "models"
    for day in DAYS[2], DAYS[3]:  # the newest is taken
        write_features(own_run, day, features)
    command = [
        "export",
        str(own_run),
        "--to",
        str(models),
        "--batch-sizes",
        "4",
        "--with-features",
        str(features),
    ]
    assert main(command) == 0
    card = json.loads((models / "1" / "assets.extra" / "model_card.json").read_text())
    assert set(card["features"]) == {"user_id", "item_id", "tags", "tags_length", "price"}
    assert (card["feature_tables"]["as_of"], card["feature_tables"]["version"]) == (str(DAYS[3]), 2)
    test = split_with_statistics(load(str(feed))).test
    ranker, _ = load_run(own_run)
    columns = {name: tf.constant(values) for name, values in test.columns().items()}
    serve = tf.saved_model.load(str(models / "1")).signatures["serving_default"]
    served = serve(**{name: columns[name] for name in card["features"]})
    for task, scores in ranker(columns).items():
        np.testing.assert_allclose(served[task], scores, rtol=0, atol=1e-5)
    # The gate asks that version for the same rows; tables that know them would tell it the outcomes.
    gate = ["--gate", "click", "auc", "--within", "0.001"]
    assert main([*command, *gate]) == 0
    assert "not worse by more than 0.0010" in capsys.readouterr().out
    write_features(own_run, DAYS[4], features)
    assert main(command) == 0
    assert main([*command, *gate]) == 2
    assert "feature tables as of 2026-11-06" in capsys.readouterr().err


def test_a_day_before_all_rows_is_one_line(own_run, tmp_path, capsys):
    to = tmp_path / "features"
    assert main(["features", str(own_run), "--as-of", "2026-10-01", "--to", str(to)]) == 2
    assert "`as_of` must be after the first day of feed" in capsys.readouterr().err
    assert not to.exists()


def test_a_log_that_declares_more_than_the_run_took_is_rejected(run, tmp_path):
    # The run was trained on two of the log's tasks.
    with pytest.raises(ValueError, match=r"takes no \['user_comment_logodds'"):
        write_features(run, datetime.date(2022, 5, 1), tmp_path / "features")
    assert not (tmp_path / "features").exists()
