import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_smes.features.schema import FeatureSchema, IntegerCategory, Number, Sequence
from keras_smes.incremental.grow_arrays import carry
from keras_smes.incremental.vocabularies import count_new, grow_schema, table_sources


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_value_comes_from_where_it_was(seed):
    rng = np.random.default_rng(seed)
    old, fresh = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 6, 7))
    sources = {1: rng.integers(-1, 4, 6), 2: rng.integers(-1, 5, 7)}
    new = carry("kernel", fresh, old, sources)
    for d, t, e in np.ndindex(new.shape):
        task, expert = sources[1][t], sources[2][e]
        expected = fresh[d, t, e] if min(task, expert) < 0 else old[d, task, expert]
        assert new[d, t, e] == expected


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"`encoder_0/0` must have shape \(3, 2\)"):
        carry("encoder_0/0", np.zeros((3, 2)), np.zeros((4, 2)), {})
    with pytest.raises(ValueError, match="kernel"):
        carry("kernel", np.zeros((3, 5)), np.zeros((4, 2)), {1: np.array([0, 1, -1, -1, -1])})


def schema(ids, mean=0.0, dim=4):
    return FeatureSchema(
        (
            IntegerCategory("video_id", dim, vocabulary=ids, table="videos"),
            Sequence("watched", dim, vocabulary=ids, table="videos"),
            Number("age", mean=mean, std=1.0),
        )
    )


def test_new_ids_come_behind_the_known_ones():
    grown = grow_schema(schema((7, 3, 9)), schema((1, 3, 5), mean=8.0))
    assert grown["video_id"].vocabulary == grown["watched"].vocabulary == (7, 3, 9, 1, 5)
    assert grown["age"].mean == 0.0  # weights were learned for numbers so scaled
    assert count_new(schema((7, 3, 9)), grown) == {"videos": 2}


def test_a_missing_number_as_default_is_the_same_in_both_schemas():
    def declared():
        return FeatureSchema((Number("age", default=float("nan")), IntegerCategory("id", default=3)))

    columns = {"age": np.array([1.0, 2.0]), "id": np.array([1, 2])}
    old = FeatureSchema.from_config(json.loads(json.dumps(declared().fit(columns).to_config())))
    grown = grow_schema(old, declared().fit({"age": np.array([9.0]), "id": np.array([5])}))
    assert (grown["age"].mean, grown["id"].vocabulary) == (1.5, (1, 2, 5))


def test_rows_go_by_value_whatever_the_order():
    sources = table_sources(schema((7, 3, 9)), schema((9, 1, 7, 3)))
    assert list(sources) == ["embed_videos/0"]
    assert sources["embed_videos/0"][0].tolist() == [0, 3, -1, 1, 2]


def test_other_features_are_refused():
    with pytest.raises(ValueError, match=r"differing=\['video_id', 'watched'\]"):
        grow_schema(schema((7,)), schema((7,), dim=8))
