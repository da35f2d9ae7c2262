"""Files without a declaration: what is seen of them, and a draft that loads as it is."""

import numpy as np
import polars as pl
import pytest
from support.made_up_log import DAYS, rows_of_day, write_feed

from keras_smes.cli import main
from keras_smes.data import describe, draft, load

FILES = ["log/dt=*/part-*.parquet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_feed(tmp_path_factory.mktemp("feed")).parent


@pytest.fixture(scope="module")
def seen(folder):
    return describe(FILES, folder)


def test_roles_are_guessed_by_names_and_types(seen):
    assert (seen.user, seen.time, seen.date) == ("user_id", ("ts", "ms"), "dt")
    assert set(seen.labels) == {"click", "share"}
    assert not seen.is_sorted
    assert seen.missing_days == ["2026-11-04"]


def test_rates_are_those_of_the_rows(seen):
    for day in DAYS:
        click = rows_of_day(day)["click"].to_numpy()
        repeated = np.concatenate([click, click[:7]])
        assert seen.rates["click"][str(day)] == pytest.approx(repeated.mean())


def test_a_column_that_tells_a_label_alone_is_a_leak(seen):
    label, area = seen.leaks["watch_ms"]
    metrics = pytest.importorskip("sklearn.metrics")
    whole = pl.concat([pl.concat([rows_of_day(day), rows_of_day(day)[:7]]) for day in DAYS])
    assert label == "click"
    assert area == pytest.approx(metrics.roc_auc_score(whole["click"], whole["watch_ms"]))
    assert "dwell_ms" not in seen.leaks


def test_names_tell_what_is_known_only_afterwards(tmp_path):
    names = [
        "click",
        "play_time_ms",
        "dwell_ms",
        "comment_stay_time",
        "watch_ratio",
        "display_price",
        "review",
    ]
    frame = pl.DataFrame({name: np.arange(100) % 7 for name in names})
    frame.with_columns(pl.col("click") % 2).write_parquet(tmp_path / "rows.parquet")
    assert describe(["rows.parquet"], tmp_path).afterwards == names[1:5]


def test_a_column_that_is_known_for_one_label_alone_is_a_leak(tmp_path):
    """Ratings, of buyers alone; the other gaps are of rows of both kinds."""
    bought, stars = [n % 3 == 0 for n in range(300)], [1 + n % 5 for n in range(300)]
    rating = [own if is_bought else None for own, is_bought in zip(stars, bought, strict=True)]
    frame = pl.DataFrame({"bought": bought, "rating": rating})
    frame = frame.with_columns(age=pl.Series([None if n % 4 == 0 else n % 7 for n in range(300)]))
    frame.write_parquet(tmp_path / "a.parquet")
    assert describe(["a.parquet"], tmp_path).leaks == {"rating": ("bought", 1.0)}


def test_texts_are_judged_by_rows_that_did_not_teach_them(tmp_path):
    """An id that stands in one row tells nothing of another; a text that is the label tells all."""
    rng = np.random.default_rng(0)
    click = rng.integers(0, 2, 4000)
    frame = pl.DataFrame(
        {"click": click, "id": [f"row {n}" for n in range(4000)], "said": np.where(click == 1, "yes", "no")}
    )
    frame.write_parquet(tmp_path / "rows.parquet")
    seen = describe(["rows.parquet"], tmp_path)
    assert seen.leaks == {"said": ("click", 1.0)}
    assert seen.columns["id"].once == 1.0


def test_texts_that_say_yes_are_labels_and_sessions_and_weights_no_features(tmp_path):
    """By hand: 4 of 12 rows say yes, `duration` alone tells them, and each session has its own id."""
    bought = ["no", "yes", "no"] * 4
    frame = pl.DataFrame(
        {
            "at": pl.datetime_range(
                pl.datetime(2026, 11, 1), pl.datetime(2026, 11, 3), "4h", closed="left",
                time_zone="Asia/Shanghai", eager=True,
            ),
            "bought": bought,
            "session_id": [f"s{n // 2}" for n in range(12)],
            "sample_weight": np.linspace(0.5, 2.0, 12),
            "colour": ["red", "blue", "red", "red"] * 3,
        }
    )  # fmt: skip
    frame.write_parquet(tmp_path / "rows.parquet")
    seen = describe(["rows.parquet"], tmp_path)
    assert (seen.request, seen.weight, seen.time_zone) == ("session_id", "sample_weight", "Asia/Shanghai")
    assert dict(seen.labels) == {"bought": pytest.approx(1 / 3)}
    assert seen.rates["bought"] == {"2026-11-01": pytest.approx(2 / 6), "2026-11-02": pytest.approx(2 / 6)}
    (tmp_path / "log.yaml").write_text(draft(seen, ["rows.parquet"]), encoding="utf-8")
    rows = load(str(tmp_path / "log.yaml"))
    assert rows.schema.names == ["colour"]
    assert rows.frame["bought"].to_list() == [0, 1, 0] * 4
    assert rows.time_zone == "Asia/Shanghai"


def test_a_draft_without_labels_suggests_columns_of_two_texts(tmp_path):
    frame = pl.DataFrame({"income": ["<=50K", ">50K", "<=50K"] * 9, "age": range(27)})
    frame.write_csv(tmp_path / "rows.csv")
    assert '# - {name: "income", positive: [">50K"]}' in draft(describe(["rows.csv"], tmp_path), ["rows.csv"])


def test_a_label_that_no_ranker_can_serve_by_its_name_is_drafted_under_another(tmp_path):
    labels = {
        "order": [0, 1, 0, 0] * 3,
        "long view": [1, 0, 0, 0] * 3,
        "2nd buy": ["yes", "no", "no", "no"] * 3,
    }
    pl.DataFrame({**labels, "price": [1.5, 2.0, 3.0, 0.5] * 3}).write_csv(tmp_path / "rows.csv")
    (tmp_path / "log.yaml").write_text(draft(describe(["rows.csv"], tmp_path), ["rows.csv"]))
    rows = load(str(tmp_path / "log.yaml"))
    assert rows.task_names == ("is_order", "long_view", "is_2nd_buy")
    assert [values.sum() for values in rows.labels().values()] == [3, 3, 3]
    assert rows.schema.names == ["price"]


def test_constant_doubled_and_empty_columns_are_said(tmp_path):
    frame = pl.DataFrame(
        {"is_buy": [0, 1, 0], "one": [3, 3, 3], "x": [1, 2, 5], "again": [1, 2, 5], "none": [None] * 3}
    )
    frame.write_parquet(tmp_path / "rows.parquet")
    seen = describe(["rows.parquet"], tmp_path)
    assert (seen.columns["one"].distinct, seen.columns["none"].distinct) == (1, 0)
    assert seen.columns["again"].same_as == "x"
    text = draft(seen, ["rows.parquet"])
    assert "one: Int64, constant" in text
    assert '- "again"' in text.partition("ignore:")[2]


def test_numbers_that_a_text_keeps_from_being_such_are_said(tmp_path):
    """A value that is no number makes text of a column; codes are not mostly numbers."""
    lines = [f"{'NA' if n % 9 == 0 else n},{n:03d},P{n},{n % 2}" for n in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["x,code,sku,click", *lines]) + "\n")
    seen = describe(["a.csv"], tmp_path)
    assert {name: list(facts.no_numbers) for name, facts in seen.columns.items() if facts.no_numbers} == {
        "x": ["NA"]
    }
    assert "x: String, 54 values, 98% of them in one row only, numbers but for 'NA'" in draft(seen, ["a.csv"])


def test_the_rows_looked_at_are_bounded(folder):
    assert describe(FILES, folder, limit=50).rows == 50


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000), ("us", 10**6)])
def test_numbers_of_a_moment_have_the_unit_that_makes_them_one_of_this_century(unit, factor, tmp_path):
    frame = pl.DataFrame({"event_time": (1_793_500_800 + np.arange(9)) * factor, "like": np.arange(9) % 2})
    frame.write_parquet(tmp_path / "rows.parquet")
    assert describe(["rows.parquet"], tmp_path).time == ("event_time", unit)


def test_a_draft_loads_as_it_is(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["describe", *FILES, "--out", "drafts.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "keras-smes train --data drafts.yaml --out runs/drafts" in printed
    rows = load("drafts.yaml")
    assert len(rows) == 5 * 307
    assert rows.schema.names == ["item_id"], "`watch_ms` tells the click, `dwell_ms` is known only afterwards"
    assert main(["describe", *FILES, "--out", "drafts.yaml"]) == 2
    assert "`--out` must be a new file" in capsys.readouterr().err
