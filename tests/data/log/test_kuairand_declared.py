"""KuaiRand-Pure as plain CSV, by a YAML alone: the rows, days and statistics of the loader that knows it."""

import numpy as np
import pytest

from keras_smes.data import Log, load, load_kuairand, split_with_past, split_with_statistics, store_log

YAML = """
name: kuairand
files: {data}/log_standard_*_pure.csv
user: user_id
time: time_ms
date: date
time_zone: Asia/Shanghai
unique: [user_id, video_id, time_ms]
tables:
- {{files: {data}/user_features_pure.csv, key: user_id}}
- {{files: {data}/video_features_basic_pure.csv, key: video_id}}
tasks:
- {{kind: binary, name: click, label: is_click}}
- {{kind: binary, name: like, label: is_like}}
outcomes: [is_follow, is_comment, is_forward, is_hate, long_view, play_time_ms, profile_stay_time]
features:
- {{kind: integer_category, name: user_id, min_count: 30, side: user}}
- {{kind: integer_category, name: tab, dim: 4, side: user}}
- {{kind: integer_category, name: music_type, dim: 4}}
- {{kind: integer_category, name: onehot_feat12, dim: 4, side: user}}
- {{kind: string_category, name: user_active_degree, dim: 4, side: user}}
- {{kind: number, name: register_days, log: true, side: user}}
statistics:
- {{name: user, columns: [user_id], smoothing: 10}}
- {{name: video, columns: [video_id], smoothing: 10}}
- {{name: user_tab, columns: [user_id, tab], smoothing: 10, towards: user}}
split: {{train_until: 2022-05-04, test_from: 2022-05-05, test_until: 2022-05-06}}
"""


@pytest.fixture(scope="module")
def parts(kuairand_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "kuairand.yaml"
    path.write_text(YAML.format(data=(kuairand_folder / "data").resolve()))
    declared = split_with_statistics(load(str(path)))
    return declared, split_with_statistics(load_kuairand("pure", kuairand_folder, ("click", "like")))


@pytest.mark.parametrize("part", ["train", "test"])
def test_rows_labels_and_features_are_those_of_the_loader(part, parts):
    declared, known = (getattr(own, part) for own in parts)
    assert len(declared) == len(known)
    assert declared.frame[declared.time].to_list() == known.frame["time_ms"].to_list()
    assert declared.frame[declared.date].to_list() == known.frame["date"].to_list()
    np.testing.assert_array_equal(declared.user_ids(), known.user_ids())
    for label, ours in (("is_click", "click"), ("is_like", "like")):
        np.testing.assert_array_equal(declared.labels()[label], known.labels()[ours])
    found, expected = declared.columns(), known.columns()
    for name in ("user_id", "tab", "music_type", "onehot_feat12", "user_active_degree", "register_days"):
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.mark.parametrize("part", ["train", "test"])
def test_statistics_are_those_of_the_loader(part, parts):
    found, expected = (getattr(own, part).columns() for own in parts)
    for key in ("user", "video", "user_tab"):
        np.testing.assert_array_equal(found[f"{key}_impressions"], expected[f"{key}_impressions"])
        for label, ours in (("is_click", "click"), ("is_like", "like")):
            np.testing.assert_array_equal(
                found[f"{key}_{label}_logodds"], expected[f"{key}_{ours}_logodds"], err_msg=key
            )


def test_on_disk_the_rows_and_their_past_are_the_same(parts, kuairand_folder, tmp_path):
    path = tmp_path / "kuairand.yaml"
    path.write_text(YAML.format(data=(kuairand_folder / "data").resolve()))
    stored = split_with_past(store_log(Log.read(path), tmp_path), verbose=0)
    for found, expected in ((stored.train, parts[0].train), (stored.test, parts[0].test)):
        assert found.read().frame.equals(expected.frame)
