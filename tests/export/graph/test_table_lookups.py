"""Feature tables in the graph: raw ids are answered as the ranker answers rows that have the features."""

import dataclasses
import datetime
import json

import keras
import numpy as np
import polars as pl
import pytest
import tensorflow as tf

pytest.importorskip("polars", reason='needs the extra "data"')

from keras_smes import SMES
from keras_smes.data import (
    FeatureTable,
    History,
    Interactions,
    KeyGroup,
    tables_as_of,
    with_histories,
    with_statistics,
)
from keras_smes.export import export_version
from keras_smes.export.graph.inputs import served_inputs
from keras_smes.export.graph.table_lookups import with_tables
from keras_smes.export.verification.sample_rows import sample_rows
from keras_smes.features.schema import FeatureSchema, HashedString, IntegerCategory, Number, StringCategory
from keras_smes.ranker import build_ranker

pytestmark = pytest.mark.tensorflow
DAY = datetime.date(2026, 1, 4)
GROUPS = (
    KeyGroup("item", ("item",), 3.0),
    KeyGroup("user", ("user",), 2.0),
    KeyGroup("city", ("city",), 2.0),
    KeyGroup("user_city", ("user", "city"), 4.0, towards="user"),
    KeyGroup("user_city_item", ("user", "city", "item"), 4.0, towards="user_city"),
)


def log(item_ids):
    """Six hundred rows of five days. The user is a key alone: the ranker doesn't take it."""
    rng = np.random.default_rng(5)
    count = 600
    cities = ["Ulm", "Köln", None, "Bad Ems"]
    frame = pl.DataFrame(
        {
            "time": np.sort(rng.integers(0, 5 * 86_400_000, count)) + 1767225600000,
            "user": rng.integers(0, 60, count) + 2**60,
            "item": pl.Series([item_ids[n] for n in rng.integers(0, 25, count)]),
            "city": [cities[n] for n in rng.integers(0, 4, count)],
            "price": rng.random(count).astype(np.float32),
            "click": rng.integers(0, 2, count),
        }
    ).with_columns(pl.from_epoch("time", time_unit="ms").dt.date().alias("date"))
    item = (
        IntegerCategory("item", dim=4) if frame["item"].dtype.is_integer() else StringCategory("item", dim=4)
    )
    schema = FeatureSchema((item, HashedString("city", dim=4, num_bins=9, side="user"), Number("price")))
    seen = History("seen", "item", "click", length=3, pooling="attention")
    return Interactions(
        "made", frame, "user", "time", "date", ("click",), schema, {}, GROUPS, histories=(seen,)
    )


@pytest.fixture(scope="module", params=["integers", "strings"])
def made(request, tmp_path_factory):
    """A log, its tables, a ranker of all features, and its export with the tables."""
    data = log(list(range(100, 125)) if request.param == "integers" else [f"item {n}" for n in range(25)])
    tables = tables_as_of(data, DAY)
    full = with_histories(with_statistics(data, DAY), DAY)
    schema = full.schema.fit(full.columns())
    keras.utils.set_random_seed(2)
    smes = SMES(1, num_experts=3, num_shared=1, num_private=1, expert_units=(8, 4))
    ranker = build_ranker(schema, ["click"], smes, encoder_units=(16,), tower_units=(4,))
    exported = export_version(
        ranker, tmp_path_factory.mktemp("models") / "smes", schema, batch_sizes=(1, 64), tables=tables
    )
    return data, tables, ranker, schema, exported


def asked(data, tables):
    """The rows of the day and rows of unknown keys, with the features that they have by the tables."""
    rows = data.frame.filter(pl.col("date") == DAY)
    unknown = rows[:6].with_columns(
        pl.Series("user", [1, 2, 3, *rows["user"][:3]]),
        pl.Series("city", ["Bonn", "Ulm", "Ulm", "Bonn", "Köln", "Bonn"]),
        pl.lit(7).cast(pl.Int64).alias("item")
        if rows["item"].dtype.is_integer()
        else pl.lit("never").alias("item"),
    )
    return tables.join(pl.concat([rows, unknown]).sort("time"))


def columns_of(data, frame, schema):
    return dataclasses.replace(data, frame=frame, schema=schema, statistics=(), histories=()).columns()


def served(folder, signature="serving_default"):
    return tf.saved_model.load(str(folder)).signatures[signature]


def test_ids_are_answered_as_rows_with_their_features(made):
    data, tables, ranker, schema, exported = made
    frame = asked(data, tables)
    columns = columns_of(data, frame, schema)
    expected = ranker({name: tf.constant(values) for name, values in columns.items()})["click"]
    given = [name for table in tables.tables for name in table.default]
    raw = {name: tf.constant(columns[name]) for name in ("item", "city", "price")}
    raw["user"] = tf.constant(frame["user"].to_numpy())
    serve = served(exported.folder)
    assert set(serve.structured_input_signature[1]) == set(raw)
    np.testing.assert_allclose(serve(**raw)["click"], expected, rtol=0, atol=1e-6)
    # The features matter: with those of other rows, scores are others.
    shuffled = {**columns, **{name: columns[name][::-1] for name in given if name != "seen"}}
    others = ranker({name: tf.constant(values) for name, values in shuffled.items()})["click"]
    assert np.abs(np.asarray(others) - np.asarray(expected)).max() > 1e-3


def test_rank_looks_one_user_up_for_all_candidates(made):
    data, tables, ranker, schema, exported = made
    frame = asked(data, tables)
    frame = tables.join(frame.select(data.frame.columns).with_columns(pl.col("user", "city").first()))
    columns = columns_of(data, frame, schema)
    expected = ranker({name: tf.constant(values) for name, values in columns.items()})["click"]
    rank = served(exported.folder, "rank")
    raw = {name: tf.constant(columns[name]) for name in ("item", "price")}
    raw |= {"city": tf.constant(columns["city"][:1]), "user": tf.constant(frame["user"].to_numpy()[:1])}
    np.testing.assert_allclose(rank(**raw)["click"], expected, rtol=0, atol=1e-6)


def test_the_card_says_what_comes_from_where(made):
    data, tables, ranker, _, exported = made
    card = json.loads((exported.folder / "assets.extra" / "model_card.json").read_text())
    assert set(card["features"]) == {"item", "city", "price", "user"}
    assert card["features"]["user"]["side"] == "user"
    described = card["feature_tables"]
    assert (described["as_of"], described["rows"]) == (str(DAY), tables.facts["rows"])
    assert described["features"]["user_city_click_logodds"]["by"] == ["user", "city"]
    assert described["features"]["user_city_click_logodds"]["unknown_key"] == "user_click_logodds, looked up"
    clicked = data.frame.filter(pl.col("date") < DAY, pl.col("click") == 1)["user"].n_unique()
    assert described["features"]["seen"] == {"by": ["user"], "keys": clicked, "unknown_key": []}
    assert card["parameters"] == ranker.count_params()
    assert {"classify", "rank", "routing", "regress_click"} <= set(exported.signatures)


def test_a_server_with_xla_compiles_the_core_alone(made, tmp_path):
    _, tables, ranker, schema, _ = made
    options = {"signatures": ["serving_default"], "batch_sizes": (3,), "xla": True, "tables": tables}
    assert export_version(ranker, tmp_path / "xla", schema, **options).proof.requests == 1


def test_questions_hold_keys_that_are_known_and_ones_that_are_not(made):
    _, tables, ranker, schema, _ = made
    whole = with_tables(ranker, schema, tables)
    inputs = served_inputs(whole.ranker, whole.schema)
    rows = sample_rows(inputs, 64, seed=1, keys=whole.keys)
    for own in whole.keys:
        known = set(zip(*(values.tolist() for values in own.values()), strict=True))
        columns = [[v.decode() if isinstance(v, bytes) else v for v in rows[name].tolist()] for name in own]
        hits = sum(key in known for key in zip(*columns, strict=True))
        assert 3 < hits < 61


def test_a_log_without_any_event_gives_empty_histories(made, tmp_path):
    data, tables, ranker, schema, _ = made
    none = [dataclasses.replace(table, rows=table.rows[:0]) for table in tables.tables]
    empty = dataclasses.replace(tables, tables=tuple(none))
    options = {"signatures": ["serving_default"], "batch_sizes": (3,), "tables": empty}
    exported = export_version(ranker, tmp_path / "empty", schema, **options)
    frame = empty.join(data.frame[:5])
    columns = columns_of(data, frame, schema)
    expected = ranker({name: tf.constant(values) for name, values in columns.items()})["click"]
    raw = {name: tf.constant(columns[name]) for name in ("item", "city", "price")}
    answer = served(exported.folder)(**raw, user=tf.constant(frame["user"].to_numpy()))
    np.testing.assert_allclose(answer["click"], expected, rtol=0, atol=1e-6)


def test_what_can_not_be_looked_up_is_rejected(made, tmp_path):
    _, tables, ranker, schema, _ = made
    by_price = FeatureTable("item", ("price",), pl.DataFrame({"price": [1.0]}), tables.tables[0].default)
    for changed, message in (
        ((by_price,), r"keys of integers or strings.*'price' of type number"),
        (
            (dataclasses.replace(by_price, default={"other": 0.0}),),
            r"features of the ranker.*\['other'\]",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            export_version(
                ranker, tmp_path / "no", schema, tables=dataclasses.replace(tables, tables=changed)
            )
    item = next(table for table in tables.tables if table.columns == ("item",))
    missing = -1 if item.rows["item"].dtype.is_integer() else ""
    doubled = item.rows[:2].with_columns(pl.Series("item", [None, missing]))
    changed = tuple(dataclasses.replace(own, rows=doubled) if own is item else own for own in tables.tables)
    with pytest.raises(ValueError, match=rf"that a request can tell apart.*\[\(None,\), \({missing!r},\)\]"):
        with_tables(ranker, schema, dataclasses.replace(tables, tables=changed))
    with pytest.raises(ValueError, match="`tables` need a ranker of `build_ranker` and its schema"):
        export_version(ranker, tmp_path / "no", None, tables=tables)
    assert not list((tmp_path / "no").glob("*"))
