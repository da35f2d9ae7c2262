import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from keras_smes.data import stored_schema
from keras_smes.data.kuairand_store import store_kuairand
from keras_smes.data.stored import StoredInteractions
from keras_smes.data.stored_past import split_with_past
from keras_smes.data.stored_schema import fit_schema
from keras_smes.features.schema import FeatureSchema, HashedString, Number


@pytest.fixture(scope="module")
def stored(
    write_random_release: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> StoredInteractions:
    folder = tmp_path_factory.mktemp("schema")
    release = write_random_release(folder, 3000, videos=400)
    whole = store_kuairand("pure", release, folder / "cache", history=3, part_rows=300, verbose=0)
    return split_with_past(whole, verbose=0).train


def with_features(stored: StoredInteractions, *features) -> StoredInteractions:
    kept = [f for f in stored.roles.schema.features if f.name not in {feature.name for feature in features}]
    schema = FeatureSchema((*kept, *features))
    return dataclasses.replace(stored, roles=dataclasses.replace(stored.roles, schema=schema))


def test_is_fitted_as_in_memory(stored: StoredInteractions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_schema, "_COMPACT_ROWS", 500)
    rows = with_features(stored, HashedString("tag", num_bins=8), Number("register_days", mean=1.0, std=2.0))
    expected = rows.roles.schema.fit(rows.read().columns())
    fitted = fit_schema(rows, verbose=0)
    assert fitted.is_fitted
    assert 0 < len(expected["video_id"].vocabulary) < 399
    for one, other in zip(fitted.features, expected.features, strict=True):
        if isinstance(one, Number):
            assert one.mean == pytest.approx(other.mean, rel=1e-12, abs=1e-12)
            assert one.std == pytest.approx(other.std, rel=1e-9)
        else:
            assert one == other
    assert fit_schema(with_features(stored, *fitted.features), verbose=0) == fitted


def test_buckets_are_quantiles_of_a_sample(
    stored: StoredInteractions, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = with_features(stored, Number("video_duration", buckets=4))
    expected = rows.roles.schema.fit(rows.read().columns())
    assert fit_schema(rows, verbose=0)["video_duration"] == expected["video_duration"]
    monkeypatch.setattr(stored_schema, "SAMPLE", len(rows) // 3)
    values = rows.read().columns()["video_duration"]
    step = -(-len(rows) // (len(rows) // 3))
    expected = Number("video_duration", buckets=4).fit(values[::step])
    assert fit_schema(rows, verbose=0)["video_duration"] == expected


def test_a_column_without_numbers(stored: StoredInteractions) -> None:
    learner = stored_schema._Moments(log=False)
    learner.add(np.array([np.nan, np.inf]))
    assert learner.fit(Number("empty")) == Number("empty", mean=0.0, std=1.0)
