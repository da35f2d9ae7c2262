"""Data frames and plain columns give what typed arrays give, in a schema and in a model."""

import textwrap

import keras
import numpy as np
import polars as pl
import pytest
from support.processes import run

from keras_smes import SMES, build_ranker
from keras_smes.features.encoder import preprocessor
from keras_smes.features.schema import (
    FeatureSchema,
    HashedString,
    IntegerCategory,
    Number,
    StringCategory,
    Tags,
)

BIG = 10**18 + 1  # no float holds it
SCHEMA = FeatureSchema(
    (
        StringCategory("sex", vocabulary=("f", "m"), dim=2),
        HashedString("city", num_bins=9, dim=2),
        IntegerCategory("id", vocabulary=(BIG, 2), dim=2),
        Number("age", mean=1.0, std=2.0),
    )
)
ROWS = {
    "sex": ["f", None, "m"],
    "city": ["Oslo", "Lima", "Rome"],
    "id": [BIG, None, 2],
    "age": [1.0, None, 4.0],
}
TYPED = {
    "sex": np.array(["f", "", "m"], object),
    "city": np.array(["Oslo", "Lima", "Rome"], object),
    "id": np.array([BIG, -1, 2]),
    "age": np.array([1.0, np.nan, 4.0], "float32"),
}
TAGS = FeatureSchema((Tags("tags", items="string", vocabulary=("a", "b"), max_length=2),))
LISTS = [["a"], None, ["b", "a", "a"]]


def frames_of(library, rows):
    if library == "polars":
        frame = pl.DataFrame(rows)
        return frame, {name: frame[name] for name in frame.columns}
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in rows.items()})
    return frame, {name: frame[name] for name in frame.columns}


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_a_frame_gives_what_lists_give(library):
    for schema, rows in ((SCHEMA, ROWS), (TAGS, {"tags": LISTS})):
        expected, counts = schema.prepare_columns(rows)
        for columns in frames_of(library, rows):
            prepared, counted = schema.prepare_columns(columns)
            assert counted == counts
            for name, values in expected.items():
                assert prepared[name].dtype == values.dtype
                np.testing.assert_array_equal(prepared[name], values)


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_a_schema_is_fitted_on_a_frame_with_other_columns(library):
    schema = FeatureSchema((StringCategory("sex"), IntegerCategory("id"), Number("age")))
    frame, _ = frames_of(library, ROWS)
    assert schema.fit(frame) == schema.fit(ROWS)
    assert schema.fit(frame)["id"].vocabulary == (2, BIG)


def test_pandas_own_types_are_taken():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({name: pd.Series(values) for name, values in ROWS.items() if name != "id"})
    frame["id"] = pd.Series(ROWS["id"], dtype="Int64")
    frame = frame.astype({"sex": "string", "city": "category"})
    prepared, _ = SCHEMA.prepare_columns(frame)
    for name, values in TYPED.items():
        np.testing.assert_array_equal(prepared[name], values)


def test_nan_among_objects_is_an_empty_cell():
    prepared, counts = SCHEMA.prepare_columns(
        {**ROWS, "sex": np.array(["f", np.nan, "m"], object), "id": [BIG, float("nan"), 2]}
    )
    assert prepared["sex"].tolist() == ["f", "", "m"]
    assert prepared["id"].tolist() == [BIG, -1, 2]
    assert counts["sex"]["missing"] == counts["id"]["missing"] == 1


def test_what_is_no_table_is_refused():
    for columns in (pl.LazyFrame(ROWS), [1, 2], "table"):
        with pytest.raises(ValueError, match=rf"a data frame.*Received: {type(columns).__name__}"):
            SCHEMA.prepare_columns(columns)


@pytest.fixture(scope="module")
def ranker():
    keras.utils.set_random_seed(0)
    return build_ranker(SCHEMA, ["click"], SMES(1, 4, 1, 1, (4,)), encoder_units=(4,))


PLAIN = {
    "lists": ROWS,
    "strings of NumPy": {**TYPED, "sex": np.array(["f", "", "m"]), "city": np.array(ROWS["city"])},
    "bytes of NumPy": {
        **TYPED,
        "sex": np.array([b"f", b"", b"m"]),
        "city": np.array([b"Oslo", b"Lima", b"Rome"]),
    },
    "objects with None": {name: np.array(values, object) for name, values in ROWS.items()},
    "a frame": pl.DataFrame(ROWS),
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", PLAIN)
def test_a_model_takes_plain_columns(ranker, kind):
    for model in (ranker, ranker.get_layer("preprocessor")):
        expected = model(TYPED)
        for found in (model(PLAIN[kind]), model.predict(PLAIN[kind], verbose=0)):
            for name, values in expected.items():
                np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("sex", np.array([1, 2, 3]), "'sex' takes strings.*int64"),
        ("sex", [1, "f", "m"], "'sex' takes strings.*int, str"),
        ("age", np.array(["1", "2", "3"]), "'age' takes numbers.*str"),
        ("id", np.array(["1", "2", "3"]), "'id' takes integers.*str"),
        ("id", [1.5, 2.0, 3.0], "'id' takes integers.*float"),
        ("sex", [["f"], ["m", "f"], []], "'sex' takes one value per row"),
    ],
)
def test_a_model_names_the_column_that_it_cannot_take(ranker, name, values, message):
    for ask in (ranker, lambda rows: ranker.predict(rows, verbose=0)):
        with pytest.raises(ValueError, match=message):
            ask({**ROWS, name: values})


@pytest.mark.tensorflow
def test_tags_are_taken_as_an_array_of_strings_beside_lengths():
    model = preprocessor(TAGS)
    padded = {"tags": np.array([["a", "?"], ["b", "a"]]), "tags_length": np.array([1, 2])}
    for columns in (padded, {name: values.tolist() for name, values in padded.items()}):
        for found in (model(columns), model.predict(columns, verbose=0)):
            np.testing.assert_array_equal(found["tags"], [[1, 0], [2, 1]])
    with pytest.raises(ValueError, match=r"'tags' takes.*prepare_columns"):
        model({"tags": [["a"], ["b", "a"]], "tags_length": [1, 2]})


@pytest.mark.tensorflow
def test_a_loaded_ranker_takes_plain_columns_too(ranker, tmp_path):
    ranker.save(tmp_path / "ranker.keras")
    script = f"""
        import keras, keras_smes.ranker
        loaded = keras.models.load_model({str(tmp_path / "ranker.keras")!r})
        print(loaded.predict({ROWS!r}, verbose=0)["click"].tolist())
    """
    process = run(textwrap.dedent(script), (), tmp_path / "log")
    assert process.wait() == 0, process.output
    np.testing.assert_allclose(
        eval(process.output.splitlines()[-1]), ranker(TYPED)["click"], rtol=0, atol=1e-6
    )
