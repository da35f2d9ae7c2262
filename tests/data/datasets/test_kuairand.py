import csv
import datetime
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from keras_smes.data import split, split_with_statistics
from keras_smes.data.datasets.kuairand import SPLIT_DATES, TASKS, load_kuairand
from keras_smes.data.interactions import Interactions
from keras_smes.tasks import BinaryTask, RegressionTask

Write = Callable[..., Path]
LOG = (
    "7,1,20220504,2300,1651676400000,1,0,0,0,0,0,1,9000,10000,0,0,0,0,1",
    "7,2,20220504,2300,1651676460000,0,0,0,0,0,0,0,100,20000,0,0,0,0,1",
    "8,1,20220505,1215,1651724100000,1,1,0,0,0,0,0,9000,10000,0,0,1,0,4",
)
ROW = "7,1,20220504,2300,1651676400000,1,0,0,0,0,0,1,9000,10000,0,0,0,0,1"


@pytest.mark.parametrize("variant", ["pure", "1k", "27k"])
def test_reads_the_official_layout(write_release: Write, variant: str) -> None:
    data = load_kuairand(variant, write_release(variant=variant))
    assert data.name == f"kuairand-{variant}"
    assert data.user_ids().tolist() == [7, 7, 8]
    assert {task: labels.tolist() for task, labels in data.labels().items()} == {
        "click": [1, 0, 1],
        "long_view": [1, 0, 0],
        "like": [0, 0, 1],
    }
    columns = data.columns()
    assert columns["hour"].tolist() == [23, 23, 12]
    assert columns["tab"].tolist() == [1, 1, 4]
    assert columns["author_id"].tolist() == [100, 101, 100]
    assert columns["tag"].tolist() == ["39", "", "39"]
    assert columns["music_type"].tolist() == [9, -1, 9]
    assert columns["onehot_feat4"].tolist() == [1, 1, -1]
    assert columns["is_live_streamer"].tolist() == [-124, -124, 1]
    assert columns["user_active_degree"].tolist() == ["full_active", "full_active", ""]
    assert columns["fans_user_num_range"].tolist() == ["[100,1k)", "[100,1k)", "0"]
    assert columns["video_duration"].tolist() == [
        10100,
        20000,
        10100,
    ]  # the log's where the video's is missing
    assert columns["video_age_days"].tolist() == [24, 23, 25]
    assert columns["register_days"].tolist() == [799, 799, 40]


def test_outcomes_are_not_in_the_frame(write_release: Write) -> None:
    data = load_kuairand("pure", write_release())
    assert not {"play_time_ms", "profile_stay_time", "comment_stay_time", "follow"} & set(data.frame.columns)
    assert not set(data.task_names) & set(data.schema.names)


def test_sides(write_release: Write) -> None:
    parts = split_with_statistics(load_kuairand("pure", write_release()), test_from=datetime.date(2022, 5, 5))
    sides = {feature.name: feature.side for feature in parts.train.schema.features}
    for name in ("user_id", "hour", "tab", "onehot_feat3", "register_days", "user_tab_click_logodds"):
        assert sides[name] == "user"
    for name in (
        "video_id",
        "author_id",
        "tag",
        "video_age_days",
        "video_tab_impressions",
        "user_tag_impressions",
    ):
        assert sides[name] == "candidate"


def test_watch_time_is_a_task(write_release: Write) -> None:
    data = load_kuairand("pure", write_release(), tasks=["click", "watch_seconds"])
    assert data.tasks == (BinaryTask("click"), RegressionTask("watch_seconds"))
    np.testing.assert_allclose(data.labels()["watch_seconds"], [9, 0.1, 9])
    parts = split_with_statistics(data, test_from=datetime.date(2022, 5, 5))
    assert "user_click_logodds" in parts.train.schema.names
    assert "user_watch_seconds_logodds" not in parts.train.schema.names  # a length of time has no rate


def test_tasks_can_be_told_in_full(write_release: Write) -> None:
    config = {"kind": "binary", "name": "liked", "label": "like", "condition": "click"}
    data = load_kuairand("pure", write_release(), tasks=[config, BinaryTask("follow")])
    assert data.tasks == (BinaryTask("liked", "like", condition="click"), BinaryTask("follow"))
    assert set(data.labels()) == {"like", "click", "follow"}


def test_history_is_of_long_views_of_earlier_days(write_release: Write) -> None:
    later = "7,2,20220505,900,1651712400000,0,0,0,0,0,0,0,100,20000,0,0,0,0,1"
    data = load_kuairand("pure", write_release(log=[*LOG, later]), tasks=["click"], history=5)
    parts = split_with_statistics(data, test_from=datetime.date(2022, 5, 5))
    assert parts.train.columns()["history_video_id_length"].tolist() == [0, 0]
    assert parts.test.columns()["history_video_id"].tolist() == [[1, 0, 0, 0, 0], [0] * 5]
    assert parts.test.user_ids().tolist() == [7, 8]


def test_columns_that_do_not_leak_can_be_added(write_release: Write) -> None:
    data = load_kuairand("pure", write_release(), extra_features=["duration_ms", "is_rand"])
    assert data.columns()["duration_ms"].tolist() == [10000, 20000, 10000]


def test_left_out_are_features_and_neither_their_statistics_nor_sides(write_release: Write) -> None:
    folder, ids = write_release(), ["user_id", "video_id", "author_id"]
    whole, fewer = (
        split_with_statistics(load_kuairand("pure", folder, **options), test_from=datetime.date(2022, 5, 5))
        for options in ({}, {"left_out": ids})
    )
    columns = whole.test.columns()
    assert [*ids, *fewer.test.columns()] == list(columns)
    for name, values in fewer.test.columns().items():
        np.testing.assert_array_equal(values, columns[name])
    kept = [feature for feature in whole.test.schema.features if feature.name not in ids]
    assert list(fewer.test.schema.features) == kept
    assert fewer.test.user_ids().tolist() == [8]


def test_left_out_must_be_features(write_release: Write) -> None:
    with pytest.raises(ValueError, match=r"`left_out` must name features .*unknown=\['is_click'\]"):
        load_kuairand("pure", write_release(), left_out=["tab", "is_click"])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("play_time_ms", "an outcome of the very row"),
        ("like", "an outcome of the very row"),
        ("watch_seconds", "an outcome of the very row"),
        ("play_cnt", "counts the whole month, and so holds the future"),
    ],
)
def test_leaks_are_refused_by_name_and_reason(write_release: Write, name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"`allow_leaks=True`.* Received: '{name}', since .*{reason}"):
        load_kuairand("pure", write_release(), extra_features=["is_rand", name])


def test_leaks_are_taken_where_allowed(write_release: Write) -> None:
    folder = write_release()
    statistic = folder / "data" / "video_features_statistic_pure.csv"
    statistic.write_text("video_id,show_cnt,play_cnt\n1,50.5,40\n3,,1\n")
    names = ["play_time_ms", "show_cnt", "like"]
    data = load_kuairand("pure", folder, extra_features=names, allow_leaks=True)
    columns = data.columns()
    assert columns["play_time_ms"].tolist() == [9000, 100, 9000]
    np.testing.assert_array_equal(columns["show_cnt"], np.float32([50.5, np.nan, 50.5]))
    assert columns["like"].tolist() == [0, 0, 1]
    assert data.counts["rows_without_video_statistic"] == 1
    statistic.unlink()
    with pytest.raises(FileNotFoundError, match="video_features_statistic_pure"):
        load_kuairand("pure", folder, extra_features=names, allow_leaks=True)


def test_the_data_folder_itself_will_do(write_release: Write) -> None:
    folder = write_release()
    assert load_kuairand("pure", folder / "data").frame.equals(load_kuairand("pure", folder).frame)


def test_parts_are_read_together_and_other_files_are_not(write_release: Write) -> None:
    folder = write_release(variant="27k") / "data"
    log = folder / "log_standard_4_22_to_5_08_27k.csv"
    header, *rows = log.read_text().splitlines()
    log.unlink()
    for part, row in enumerate(rows, start=1):
        (folder / f"log_standard_4_22_to_5_08_27k_part{part}.csv").write_text(f"{header}\n{row}\n")
    (folder / "log_random_4_22_to_5_08_27k.csv").write_text("not,read\n")
    shutil.move(folder / "video_features_basic_27k.csv", folder / "video_features_basic_27k_part1.csv")
    data = load_kuairand("27k", folder.parent)
    assert data.counts["rows_read"] == 3


def test_duplicates_are_dropped_and_counted(write_release: Write) -> None:
    log = [
        "7,1,20220504,2300,1651676400000,1,0,0,0,0,0,1,9000,10000,0,0,0,0,1",
        "7,1,20220504,2300,1651676400000,1,0,0,0,0,0,1,9000,10000,0,0,0,0,1",
        "7,1,20220505,0,1651676400000,1,0,0,0,0,0,1,9000,10000,0,0,0,0,1",
        "9,3,20220505,0,1651676400001,1,0,0,0,0,0,1,9000,10000,0,0,0,0,1",
    ]
    data = load_kuairand("pure", write_release(log=log))
    assert data.counts == {
        "rows_read": 4,
        "exact_duplicates": 1,
        "repeated_impressions": 1,
        "rows": 2,
        "rows_without_user": 1,
        "rows_without_video": 1,
    }
    assert data.columns()["user_id"].tolist() == [7, 9]
    assert data.columns()["author_id"].tolist() == [100, -1]


def test_tasks_can_be_chosen(write_release: Write) -> None:
    data = load_kuairand("pure", write_release(), tasks=["profile_enter", "click"])
    assert data.task_names == ("profile_enter", "click")
    assert data.labels()["profile_enter"].tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ((), "non-empty"),
        (("hate",), r"`tasks` must be of label columns .*'watch_seconds'\]. Received: unknown=\['hate'\]"),
        (("click", "click"), "unique names"),
        ((BinaryTask("bought", condition="click"),), r"unknown=\['bought'\]"),
        (({"kind": "no_such", "name": "click"},), "kind='no_such'"),
    ],
)
def test_impossible_tasks_are_refused(write_release: Write, tasks: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_kuairand("pure", write_release(), tasks=tasks)


@pytest.mark.parametrize(
    ("source", "value", "column"),
    [(source, "2", source) for source in TASKS.values()] + [("tab", "", "tab"), ("date", "2022", "date")],
)
def test_a_wrong_value_is_named(write_release: Write, source: str, value: str, column: str) -> None:
    from_header = dict(zip(_header(write_release), ROW.split(","), strict=True))
    wrong = ",".join({**from_header, source: value}.values())
    received = repr(value) if value else "nothing"
    message = rf"log_standard_4_22_to_5_08_pure\.csv, column {column!r}, row 4: .* Received: {received}$"
    with pytest.raises(ValueError, match=message):
        load_kuairand("pure", write_release(log=[ROW, ROW, wrong]))


def _header(write_release: Write) -> list[str]:
    log = write_release() / "data" / "log_standard_4_22_to_5_08_pure.csv"
    return log.read_text().splitlines()[0].split(",")


def test_a_missing_label_column_is_named(write_release: Write) -> None:
    header = ",".join(_header(write_release)).replace("is_like", "liked")
    with pytest.raises(ValueError, match=r"log_standard_.*\.csv, row 1: must have one column 'is_like'"):
        load_kuairand("pure", write_release(log_header=header))


@pytest.mark.parametrize("name", ["log_standard_4_22_to_5_08", "user_features", "video_features_basic"])
def test_a_missing_file_is_named(write_release: Write, name: str) -> None:
    folder = write_release()
    (folder / "data" / f"{name}_pure.csv").unlink()
    with pytest.raises(FileNotFoundError, match=name.replace("4_22_to_5_08", r"\*")):
        load_kuairand("pure", folder)


def test_a_user_described_twice_is_named(write_release: Write) -> None:
    user = "7" + "," * 30
    with pytest.raises(
        ValueError, match=r"user_features_pure\.csv, row 3: must have each key \['user_id'\] once.*\(7,\)"
    ):
        load_kuairand("pure", write_release(users=[user, user]))


def test_the_usual_split_needs_rows_on_both_sides(write_release: Write) -> None:
    data = load_kuairand("pure", write_release())
    assert data.split_dates == SPLIT_DATES
    assert split(data).test.user_ids().tolist() == [8]
    assert load_kuairand("pure", write_release(log=[ROW])).split_dates is None


@pytest.fixture(scope="module")
def real(kuairand_folder: Path) -> Interactions:
    return load_kuairand("pure", kuairand_folder)


def test_real_rows(real: Interactions) -> None:
    assert real.counts["rows_read"] == 198_895
    assert real.counts["exact_duplicates"] == 4_931
    assert real.counts["repeated_impressions"] == 381
    assert len(real) == real.counts["rows"] == 198_895 - 4_931 - 381
    assert real.counts["rows_without_user"] == real.counts["rows_without_video"] == 0
    dates = real.frame["date"]
    assert (dates.min(), dates.max()) == (datetime.date(2022, 4, 25), datetime.date(2022, 5, 6))


def test_positives_of_real_rows(real: Interactions, kuairand_folder: Path) -> None:
    first: dict[tuple[str, ...], dict[str, str]] = {}
    with (kuairand_folder / "data" / "log_standard_4_22_to_5_08_pure.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            first.setdefault((row["user_id"], row["video_id"], row["time_ms"]), row)
    for task, labels in real.labels().items():
        assert labels.sum() == sum(row[TASKS[task]] == "1" for row in first.values())


def test_a_table_of_the_statistics_ranks_real_rows_as_known(real: Interactions) -> None:
    # A table of smoothed user + video + tab log-odds is known to reach AUC 0.728 and 0.727 on this split.
    test = split_with_statistics(real).test
    columns, labels = test.columns(), test.labels()
    assert test.frame["date"].min() == datetime.date(2022, 5, 5)
    for task, known in {"click": 0.728, "long_view": 0.727}.items():
        score = np.sum([columns[f"{key}_{task}_logodds"] for key in ("user", "video", "tab")], axis=0)
        assert roc_auc_score(labels[task], score) == pytest.approx(known, abs=0.004)
