"""Feature tables hold what the rows of their day see, for known keys and for unknown ones."""

import dataclasses
import datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from support.made_up_log import DAYS, write_feed
from support.processes import run

from keras_smes.data import (
    FeatureTables,
    History,
    Interactions,
    KeyGroup,
    Log,
    load,
    load_log,
    simulate,
    split_with_statistics,
    tables_as_of,
    with_histories,
    with_statistics,
    write_made_up_kuairand,
)
from keras_smes.data.past.days import AS_OF, known_and_as_of
from keras_smes.features.schema import FeatureSchema, IntegerCategory


def simulated(tmp_path, **changes):
    del tmp_path
    watched = History("seen", "video_id", "click", length=3)
    return dataclasses.replace(simulate(rows=4000, days=8, seed=2), histories=(watched,), **changes)


def feed(tmp_path):
    return load(str(write_feed(tmp_path)))


def kuairand(tmp_path):
    folder = write_made_up_kuairand(tmp_path, rows=2000, users=300, videos=400, days=8)
    watched = History("seen", "video_id", "long_view", length=3)
    return dataclasses.replace(load("kuairand-pure", folder), histories=(watched,))


def forgetting(tmp_path):
    return simulated(tmp_path, half_life=1.5)


LOGS = [feed, simulated, forgetting, kuairand]


def written(tables, folder):
    """The tables as who serves has them: from files."""
    tables.write(folder)
    return FeatureTables.read(folder)


@pytest.mark.parametrize("log", LOGS)
def test_rows_of_the_day_see_what_the_tables_hold(log, tmp_path):
    data = log(tmp_path)
    day = data.frame[data.date].unique().sort()[-2]
    tables = written(tables_as_of(data, day), tmp_path / "tables")
    names = [name for table in tables.tables for name in table.default]
    # Once where each day sees its own past, and once as the test rows of a split, frozen at its first day.
    whole = with_histories(with_statistics(data))
    for rows in (whole, split_with_statistics(data, test_from=day).test):
        frozen = day if rows is not whole else None
        frame = rows.frame.with_columns(known_and_as_of(data, frozen)[1]).filter(pl.col(AS_OF) == day)
        assert frame.height > 90
        served = tables.join(frame.drop(names))
        assert_frame_equal(served.select(names), frame.select(names), check_exact=True)
        if log is not feed:  # among them unknown keys
            unknown = [frame.join(t.rows, on=t.columns, how="anti").height for t in tables.tables]
            assert max(unknown) > 10


def made(*groups):
    """Six rows of two days; the third day is asked about."""
    frame = pl.DataFrame(
        {
            "user": [1, 1, None, 2, 1, None],
            "item": [10, 10, 10, 11, 11, 10],
            "kind": ["a", "a", "a", "b", "b", "a"],
            "click": [1, 1, 0, 1, 0, 1],
            "time": [hour * 3_600_000 for hour in (1, 2, 3, 4, 25, 26)],
            "date": [datetime.date(1970, 1, day) for day in (1, 1, 1, 1, 2, 2)],
        }
    )
    schema = FeatureSchema((IntegerCategory("user", side="user"), IntegerCategory("item")))
    seen = History("seen", "item", "click", length=2)
    return Interactions(
        "made", frame, "user", "time", "date", ("click",), schema, {}, groups, histories=(seen,)
    )


GROUPS = (KeyGroup("user", ("user",), 2.0), KeyGroup("user_item", ("user", "item"), 3.0, towards="user"))
SECOND = datetime.date(1970, 1, 2)


def test_a_case_worked_by_hand():
    """Before the second day: user 1 clicked 2 of 2, null 0 of 1, 2 1 of 1; all 3 of 4, a rate of 3.5 / 5."""
    tables = tables_as_of(made(*GROUPS), SECOND)
    user, both, seen = tables.tables
    rates = {key: 1 / (1 + 2.718281828459045**-x) for key, _, x in user.rows.iter_rows()}
    assert rates == pytest.approx({1: (2 + 1.4) / 4, None: (0 + 1.4) / 3, 2: (1 + 1.4) / 3})
    assert user.default == pytest.approx({"user_impressions": 0.0, "user_click_logodds": 0.8472979})
    assert both.columns == ("user", "item")
    assert dict(seen.rows.iter_rows()) == {1: [10, 10], 2: [11]}
    # An item that user 1 has not seen has the user's rate, and an unknown user that of all.
    asked = pl.DataFrame({"user": [1, 9], "item": [99, 10]}, schema={"user": pl.Int64, "item": pl.Int64})
    served = tables.join(asked)
    assert served["user_item_click_logodds"].to_list() == served["user_click_logodds"].to_list()
    assert served["user_click_logodds"].to_list() == pytest.approx([1.7346011, 0.8472979])
    assert served["user_item_impressions"].to_list() == [0.0, 0.0]
    assert served["seen"].to_list() == [[10, 10], []]


def test_later_rows_change_nothing():
    data = made(*GROUPS)
    changed = dataclasses.replace(
        data, frame=data.frame.with_columns(pl.when(pl.col("date") < SECOND).then("click").otherwise(0))
    )
    ours, theirs = tables_as_of(data, SECOND), tables_as_of(changed, SECOND)
    assert ours.facts == theirs.facts
    for our, their in zip(ours.tables, theirs.tables, strict=True):
        assert_frame_equal(our.rows, their.rows)
    later = datetime.date(1970, 1, 3)
    assert tables_as_of(data, later).facts["fingerprint"] != tables_as_of(changed, later).facts["fingerprint"]


def test_another_process_gives_the_same_fingerprint(tmp_path):
    path = write_feed(tmp_path)
    code = (
        "import datetime; from keras_smes.data import load, tables_as_of\n"
        f"tables = tables_as_of(load({str(path)!r}), datetime.date.fromisoformat('{DAYS[3]}'))\n"
        "print(tables.facts['fingerprint'])"
    )
    other = run(code, (), tmp_path / "output")
    assert other.wait() == 0, other.output
    assert other.output.split()[-1] == tables_as_of(load(str(path)), DAYS[3]).facts["fingerprint"]


@pytest.mark.parametrize(
    ("data", "day", "message"),
    [
        (made(*GROUPS), datetime.date(1970, 1, 1), "`as_of` must be after the first day.*as_of=1970-01-01"),
        (
            made(KeyGroup("kind", ("kind",)), KeyGroup("item", ("item",), towards="kind")),
            SECOND,
            r"Key 'item' must have the columns of 'kind'.*without \['kind'\]",
        ),
        (dataclasses.replace(made(), histories=()), SECOND, "must have statistics or histories"),
        (made(*GROUPS), "1970-01-02", "`as_of` must be a datetime.date"),
    ],
)
def test_what_gives_no_tables_is_rejected(data, day, message):
    with pytest.raises(ValueError, match=message):
        tables_as_of(data, day)


def test_a_log_without_time_is_rejected(tmp_path):
    pl.DataFrame({"item": [1, 2] * 9, "click": [0, 1] * 9}).write_parquet(tmp_path / "rows.parquet")
    group = KeyGroup("item", ("item",))
    log = Log("mine", (str(tmp_path / "rows.parquet"),), ("click",), statistics=(group,))
    with pytest.raises(ValueError, match="need `time` and `date`"):
        load_log(log)


def test_half_a_folder_is_not_taken_for_whole(tmp_path):
    tables = tables_as_of(made(*GROUPS), SECOND)
    tables.write(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"must hold whole feature tables.*without manifest.json"):
        FeatureTables.read(tmp_path)
    tables.write(tmp_path)
    tables.tables[0].rows[:1].write_parquet(tmp_path / "statistics" / "user.parquet")
    with pytest.raises(ValueError, match=r"user.parquet must have 3 rows. Received: 1 rows"):
        FeatureTables.read(tmp_path)
