"""A log as YAML: what is wrong is named by file, line, key and value."""

import textwrap

import pytest
from support.made_up_log import FEED

from keras_smes.data import Column, Label, Log, Table
from keras_smes.tasks import RegressionTask

CENSUS = """\
name: census
files: rows.parquet
tasks:
- {kind: binary, name: income, label: income_50k, positive: ["50000+."]}
- {kind: binary, name: never_married, label: marital_stat, positive: ["Never married"]}
ignore: [instance_weight]
features: auto
split: {test_fraction: 0.1, by: hash, seed: 7}
"""


def read(folder, text):
    path = folder / "log.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return Log.read(path)


def test_labels_are_made_of_columns(tmp_path):
    log = read(tmp_path, CENSUS)
    assert log.labels == (
        Label("income", "income_50k", positive=("50000+.",)),
        Label("never_married", "marital_stat", positive=("Never married",)),
    )
    assert [task.label for task in log.tasks] == ["income", "never_married"]
    assert log.roles() == {
        "income_50k": "label",
        "marital_stat": "label",
        "instance_weight": "ignore",
    }


def test_all_of_the_example_is_read(tmp_path):
    log = read(tmp_path, FEED)
    assert (log.user, log.time.column, log.time_zone, log.memory) == (
        "user_id",
        "ts",
        "Asia/Shanghai",
        2 * 10**9,
    )
    assert log.tasks[1] == RegressionTask("watch_seconds", condition="click")
    assert [feature.kind for feature in log.features] == [
        "string_category",
        "integer_category",
        "tags",
        "number",
    ]
    assert (log.statistics[0].columns, log.histories[0].pooling) == (("item_id",), "attention")


def test_columns_may_have_types(tmp_path):
    columns = "columns: [{name: age, kind: number, optional: true}, {name: born, kind: date}]"
    tables = f"tables: [{{files: people.csv, key: id, {columns}}}]"
    log = read(tmp_path, "\n".join([CENSUS, columns, tables]))
    assert log.columns == log.tables[0].columns == (Column("age", "number", True), Column("born", "date"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "ignore:",
            "ingore:",
            r"line 6, `ingore`: .* must be among .*'ignore'.* unknown=\['ingore'\]",
        ),
        (
            "[instance_weight]",
            "[3]",
            r"line 6, `ignore\[0\]`: .*must be tuple\[str, .*=\[3\]",
        ),
        ("binary, name: income", "binray, name: income", r"line 4, `tasks\[0\]`: .*`kind`.*'binray'"),
        (
            '["Never married"]}',
            '["Never married"], scale: 2}',
            r"line 5, `tasks\[1\]`: .*\['positive', 'scale'\]",
        ),
        (
            "0.1",
            "1.5",
            r"line 8, `split.test_fraction`: .*must be between 0 and 1. .*=1.5",
        ),
        ("by: hash", "by: luck", r"line 8, `split.by`: .*must be 'time' or 'hash'.*by='luck'"),
        (
            "test_fraction: 0.1,",
            "test_days: 2, test_fraction: 0.1,",
            r"line 8, `split`: .*must cut in one way",
        ),
        (
            "features: auto",
            "features: all",
            r"line 7, `features`: `features` must be a list, or 'auto'.*'all'",
        ),
        ("features: auto", "features: [{kind: number}]", r"line 7, `features\[0\]`: .*needs `name`"),
        ("features: auto", "memory: lots", r"line 7, `memory`"),
        ("features: auto", "ignore: [a]", r"line 7, `ignore`: must be given once"),
        (
            "features: auto",
            "user: instance_weight",
            r"one role. Received: 'instance_weight' as user and ignore",
        ),
        (
            "features: auto",
            "time: {column: t, unit: h}",
            r"line 7, `time.unit`: .*must be one of .*unit='h'",
        ),
        (
            "features: auto",
            "columns: [{name: x, kind: labels}]",
            r"line 7, `columns\[0\].kind`: .*must be one of .*'label'.*kind='labels'",
        ),
        ("files: rows.parquet\n", "", r"line 1: A configuration must have `files`"),
        (
            "test_fraction: 0.1, by: hash, seed: 7",
            "test_from: 2026-02-30",
            r"line 8, `split.test_from`: .*2026-02-30",
        ),
        (
            "files:",
            "time: {column: t, unit: s\nfiles:",
            r"log.yaml must be YAML. Received: [^\n]* in line \d+$",
        ),
        ("name: census", "- census", r"must be YAML|must hold a mapping"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(old, new, message, tmp_path):
    assert old in CENSUS
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, CENSUS.replace(old, new, 1))
    assert "log.yaml" in str(error.value)


def test_in_python_one_name_may_stand_alone_as_in_yaml(tmp_path):
    text = "name: feed\nfiles: rows.csv\ntime: ts\ntasks: [click]\ntables:\n- {files: items.csv, key: item}\n"
    (tmp_path / "feed.yaml").write_text(text)
    table = Table("items.csv", "item")
    made = Log("feed", tmp_path / "rows.csv", ("click",), time="ts", tables=(table,), folder=str(tmp_path))
    read = Log.read(tmp_path / "feed.yaml")
    assert (made.time, made.tables, made.folder) == (read.time, read.tables, read.folder)
    assert made.files == (str(tmp_path / "rows.csv"),)
