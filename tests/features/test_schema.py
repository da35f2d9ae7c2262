import numpy as np
import pytest

from keras_smes.features.schema import (
    FeatureSchema,
    HashedInteger,
    HashedString,
    IntegerCategory,
    Number,
    Sequence,
    StringCategory,
    Tags,
)


def test_fit_takes_vocabularies_and_moments_from_the_rows():
    schema = FeatureSchema(
        (IntegerCategory("id"), StringCategory("sex"), Number("age"), Number("fans", log=True))
    )
    fitted = schema.fit(
        {
            "id": np.array([9, 7, 9, -1]),
            "sex": np.array(["m", "f", "", "m"], object),
            "age": np.array([20.0, 30.0, np.nan, 40.0]),
            "fans": np.expm1(np.array([0.0, 2.0, 4.0, np.inf])),
        }
    )
    assert fitted["id"].vocabulary == (7, 9)  # -1 is how a loader writes "missing"
    assert fitted["sex"].vocabulary == ("f", "m")
    assert fitted["age"].mean == 30.0
    assert fitted["age"].std == pytest.approx(np.sqrt(200 / 3))
    assert fitted["fans"].mean == pytest.approx(2.0)
    assert not schema.is_fitted
    assert fitted.is_fitted


def test_min_count_leaves_rare_values_out():
    ids = np.array([1, 1, 1, 2, 2, 3])
    assert IntegerCategory("id", min_count=2).fit(ids).vocabulary == (1, 2)
    words = np.array(["a", "b", "b"], object)
    assert StringCategory("word", min_count=2).fit(words).vocabulary == ("b",)


def test_given_state_is_kept():
    category = IntegerCategory("id", vocabulary=[5, 4])
    assert category.fit(np.array([1, 2])).vocabulary == (5, 4)
    assert Number("age", mean=1.0, std=2.0).fit(np.array([9.0])).mean == 1.0


def test_constant_and_empty_numbers_can_be_standardised():
    assert Number("x").fit(np.full(3, 7.0)).std == 1.0
    assert Number("x").fit(np.full(3, np.nan)) == Number("x", mean=0.0, std=1.0)


def test_buckets_are_quantiles_of_the_rows():
    number = Number("x", buckets=4)
    assert not number.is_fitted
    assert number.fit(np.array([0.0, 1.0, 2.0, 3.0, 4.0, np.nan, np.inf])).boundaries == (1.0, 2.0, 3.0)
    # Not more values than buckets: each has its own.
    assert number.fit(np.array([0.0] * 6 + [5.0, 9.0])).boundaries == (5.0, 9.0)
    assert number.fit(np.full(3, 7.0)).boundaries == (7.0,)
    assert number.fit(np.full(3, np.nan)).num_ids == 3
    assert Number("x", buckets=(1.0, 2.0)).fit(np.array([9.0])).num_ids == 4


def test_a_frequent_value_has_a_bucket_of_its_own():
    # 11 of 20 rows are 0, more than two buckets' share (10): it has [0, 1). The others' median is 4.
    values = np.array([0.0] * 11 + [-1.0] + [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    assert Number("x", buckets=4).fit(values).boundaries == (0.0, 1.0, 4.0)


def test_buckets_divide_rows_that_are_mostly_zero():
    random = np.random.default_rng(0)
    values = np.concatenate([np.zeros(9000), random.lognormal(size=1000)]).astype("float32")
    number = Number("x", buckets=32).fit(values)
    rows = np.bincount(np.searchsorted(number.boundaries, values, side="right"))
    assert len(rows) <= 32
    assert rows[0] == 9000
    assert rows[1:].max() < 2 * 1000 / 30


def test_boundaries_are_rounded_as_served_numbers_are():
    assert Number("x", buckets=(0.1, 0.2)).boundaries == (float(np.float32(0.1)), float(np.float32(0.2)))


def test_tags_and_sequences_learn_from_what_they_keep():
    schema = FeatureSchema(
        (Tags("tags", items="string", max_length=2, min_count=2), Sequence("history", max_length=2))
    )
    columns = {"tags": [["a", "b", "c"], ["a", ""], ["c"]], "history": [[1, 2, 3], [-1, 3], None]}
    fitted = schema.fit(columns)
    assert fitted["tags"].vocabulary == ("a",)  # the first "c" is cut off
    assert fitted["history"].vocabulary == (2, 3)


def test_a_table_is_fitted_on_all_its_features_together():
    videos = IntegerCategory("video_id", table="videos", min_count=2)
    history = Sequence("history", table="videos", min_count=2)
    schema = FeatureSchema((videos, Number("age"), history))
    fitted = schema.fit({"video_id": [1, 2], "age": [3.0, 4.0], "history": [[2, 3], [3]]})
    assert fitted["video_id"].vocabulary == fitted["history"].vocabulary == (2, 3)


def test_raw_inputs_are_named_shaped_and_typed():
    schema = FeatureSchema((Tags("tags", items="string"), Number("age"), HashedInteger("author")))
    assert schema.input_specs == {
        "tags": ((None,), "string"),
        "tags_length": ((), "int32"),
        "age": ((), "float32"),
        "author": ((), "int64"),
    }


def test_side_and_default_are_given_by_name():
    assert Number("age").side == "candidate"
    assert Number("age").default is None
    assert IntegerCategory("user_id", side="user", default=np.int32(7)).default == 7
    assert StringCategory("sex", default=b"f").default == "f"
    assert Sequence("history", default=[]).default == ()


def test_no_feature_has_that_name():
    with pytest.raises(KeyError, match="'b'"):
        FeatureSchema((Number("a"),))["b"]


def test_the_vocabulary_holds_no_value_that_lookups_reserve():
    assert IntegerCategory("id").fit(np.array([-(2**63), 5])).vocabulary == (5,)


def pair(first, second):
    return lambda: FeatureSchema((first, second))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IntegerCategory("user:id"), "name='user:id'"),
        (lambda: IntegerCategory("用户"), "name='用户'"),
        (lambda: IntegerCategory("id", dim=0), "dim=0"),
        (lambda: IntegerCategory("id", min_count=0), "min_count=0"),
        (lambda: HashedString("city", num_bins=1), "num_bins=1"),
        (lambda: Number("age", mean=1.0), "mean=1.0, std=None"),
        (lambda: Number("age", mean=1.0, std=0.0), "std=0.0"),
        (lambda: FeatureSchema(()), "`features`"),
        (lambda: FeatureSchema((Number("a"), Number("a"))), r"repeated=\['a'\]"),
        (lambda: FeatureSchema((Number("a"),)).fit({"b": np.zeros(2)}), r"missing=\['a'\]"),
        (lambda: IntegerCategory("id").num_ids, r"'id' is not fitted: .* Received: vocabulary=None"),
        (lambda: Number("x", buckets=3).num_ids, r"'x' has no fitted buckets: .* Received: buckets=3"),
        (lambda: FeatureSchema.from_config([{"kind": "tag", "name": "a"}]), "kind='tag'"),
        (lambda: IntegerCategory("id", side="item"), "side='item'"),
        (lambda: IntegerCategory("id", default=0.5), "'id' takes integers"),
        (lambda: IntegerCategory("id", default=2**63), "'id' takes ids within int64"),
        (lambda: StringCategory("sex", default=1), "'sex' takes strings"),
        (lambda: Number("age", default=np.inf), "default=inf"),
        (lambda: IntegerCategory("id", table="a b"), "table='a b'"),
        (lambda: IntegerCategory("id", dim=2.0), r"dim=2.0 \(feature 'id'\)"),
        (lambda: IntegerCategory("id", vocabulary="12"), "vocabulary='12'"),
        (lambda: IntegerCategory("id", vocabulary=[1, 1]), r"repeated=\[1\]"),
        (lambda: IntegerCategory("id", vocabulary=[1, None]), "must not hold None"),
        (lambda: IntegerCategory("id", vocabulary=[1.5]), "'id' takes integers"),
        (lambda: IntegerCategory("id", vocabulary=[-(2**63)]), "reserved"),
        (lambda: StringCategory("sex", vocabulary=[1]), "'sex' takes strings"),
        (lambda: Number("x", buckets=1), "buckets=1"),
        (lambda: Number("x", buckets=()), r"buckets=\(\)"),
        (lambda: Number("x", buckets=(2.0, 1.0)), r"buckets=\(2.0, 1.0\)"),
        (lambda: Number("x", buckets=(1.0, 1.0 + 1e-12)), "rise in float32"),
        (lambda: Number("x", buckets=(1.0, np.nan)), "buckets="),
        (lambda: Number("x", buckets=(1.0, 1e39)), "buckets="),
        (lambda: Number("x", buckets="12"), "buckets='12'"),
        (lambda: Number("x", buckets=3, log=True), "excludes"),
        (lambda: Number("x", buckets=3, dim=0), "dim=0"),
        (lambda: Number("x", mean="0", std=1.0), "mean='0'"),
        (lambda: Tags("tags", items="float"), "items='float'"),
        (lambda: Tags("tags", max_length=0), "max_length=0"),
        (lambda: Tags("tags", pooling="attention"), "pooling='attention'"),
        (lambda: Tags("tags", num_bins=1), "num_bins=1"),
        (lambda: Tags("tags", num_bins=5, vocabulary=(1,)), "num_bins=5"),
        (lambda: Tags("tags", num_bins=5, min_count=2), "num_bins=5"),
        (lambda: Tags("tags", vocabulary=("a",)), "'tags' takes integers"),
        (lambda: Tags("tags", default=3), "default=3"),
        (lambda: Tags("tags", max_length=1, default=(1, 2)), r"default=\(1, 2\)"),
        (lambda: Sequence("history", pooling="max"), "pooling='max'"),
        (lambda: Sequence("history", pooling="attention"), "target=None"),
        (lambda: Sequence("history", target="video"), "target='video'"),
        (lambda: Sequence("history", pooling="attention", target="v", attention_units=()), "attention_units"),
        (pair(Tags("a"), Number("a_length")), r"repeated=\['a_length'\]"),
        (pair(Sequence("h", pooling="attention", target="v"), Number("a")), "target='v'"),
        (pair(Sequence("h", pooling="attention", target="v"), Number("v")), "target='v'"),
        (pair(Sequence("h", pooling="attention", target="v"), IntegerCategory("v", dim=3)), "dim=16"),
        (pair(Sequence("h", pooling="attention", target="v"), IntegerCategory("v", side="user")), "'v'"),
        (pair(IntegerCategory("a", table="t"), HashedInteger("b", table="t")), "agree on kind"),
        (pair(IntegerCategory("a", table="t"), Tags("b", dim=3, table="t")), r"agree on dim.*\['a', 'b'\]"),
        (pair(IntegerCategory("a", table="t"), Tags("b", vocabulary=(1,), table="t")), "agree on vocabulary"),
        (pair(IntegerCategory("a"), IntegerCategory("b", table="a")), r"without table=\['a'\]"),
    ],
)
def test_refusals_name_what_was_received(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "name",
    [
        *("scores", "core", "preprocessor", "lookup_id", "embed_id", "fit_tags", "pool_tags", "encoder_0"),
        *("cast", "cast_2", "stack", "unstack"),  # operations that Keras names by itself
    ],
)
def test_a_feature_named_as_a_layer_of_the_ranker_is_refused(name):
    with pytest.raises(ValueError, match=rf"named as layers.*\['{name}'\]"):
        FeatureSchema((IntegerCategory("id"), Tags("tags"), IntegerCategory(name)))


def test_names_that_only_look_like_those_of_layers_are_taken():
    names = ["class", "from", "self", "order", "fused", "ID", "experts", "lookup_other", "encoder_x", "click"]
    schema = FeatureSchema((IntegerCategory("id"), *map(IntegerCategory, names), Number("features")))
    assert schema.names == ["id", *names, "features"]


def test_one_long_string_costs_no_more_than_its_length():
    words = np.array([f"c{i % 1000}" for i in range(20_000)], object)
    words[5] = "x" * 2_000_000  # 160 GB if each string had this length
    schema = FeatureSchema((StringCategory("word"),)).fit({"word": words})
    assert sorted(schema["word"].vocabulary) == sorted({*words})
    assert schema.check_columns({"word": words})["word"] == {"rows": 20_000, "missing": 0, "unknown": 0}
    with pytest.raises(ValueError, match=r"repeated=\['a'\]"):
        StringCategory("word", vocabulary=[*words[:6], "a", "a"])


def test_strings_keep_nuls_at_their_end():
    words = ["a", "a\0", "\0", "", "a\0\0", "a"]
    fitted = FeatureSchema((StringCategory("word"), Tags("tags", items="string")))
    fitted = fitted.fit({"word": words, "tags": [[word] for word in words]})
    assert fitted["word"].vocabulary == fitted["tags"].vocabulary == ("\0", "a", "a\0", "a\0\0")
    counts = fitted.check_columns({"word": ["a\0\0\0", "", "a"], "tags": [["a\0"], ["\0\0"], []]})
    assert (counts["word"]["missing"], counts["word"]["unknown"], counts["tags"]["unknown"]) == (1, 1, 1)
