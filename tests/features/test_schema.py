import json

import numpy as np
import pytest

from keras_smes.features.schema import (
    FeatureSchema,
    HashedString,
    IntegerCategory,
    Number,
    StringCategory,
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


def test_config_is_json_and_comes_back_equal():
    schema = FeatureSchema(
        (
            IntegerCategory("id", dim=3, vocabulary=(2**60, 7), min_count=2),
            StringCategory("sex", vocabulary=("f",)),
            HashedString("city", num_bins=50),
            Number("age", log=True, mean=1.5, std=0.5),
        )
    )
    assert FeatureSchema.from_config(json.loads(json.dumps(schema.to_config()))) == schema


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
        (lambda: IntegerCategory("id").num_ids, "'id' is not fitted"),
        (lambda: FeatureSchema.from_config([{"kind": "tag", "name": "a"}]), "kind='tag'"),
    ],
)
def test_refusals_name_what_was_received(make, message):
    with pytest.raises(ValueError, match=message):
        make()
