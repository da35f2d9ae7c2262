import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from keras_smes.data.datasets.kuairand_store import store_kuairand
from keras_smes.data.past.stored import split_with_past
from keras_smes.data.store import schema
from keras_smes.data.store.interactions import StoredInteractions
from keras_smes.data.store.schema import fit_schema
from keras_smes.features.schema import FeatureSchema, HashedString, Number
from keras_smes.moments import RunningMoments


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
    monkeypatch.setattr(schema, "_COMPACT_ROWS", 500)
    monkeypatch.setattr(RunningMoments, "BLOCK", 700)  # parts of about 300 rows, and several blocks
    own = (
        HashedString("tag", num_bins=8),
        Number("register_days", mean=1.0, std=2.0),
        Number("video_duration", buckets=4),
    )
    rows = with_features(stored, *own)
    expected = rows.roles.schema.fit(rows.read().columns())
    fitted = fit_schema(rows, verbose=0)
    assert fitted.is_fitted
    assert fitted == expected
    assert 0 < len(expected["video_id"].vocabulary) < 399
    assert fit_schema(with_features(stored, *fitted.features), verbose=0) == fitted


def test_moments_are_those_of_numpy_however_values_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).lognormal(3, 2, size=5000).astype(np.float32)
    found = {}
    for block in (2**21, 512):
        monkeypatch.setattr(RunningMoments, "BLOCK", block)
        for cuts in ([], [1, 700, 4999]):
            moments = RunningMoments(np.log1p)
            for own in np.split(values, cuts):
                moments.add(own)
            found[block, len(cuts)] = moments.result()
    exact = np.log1p(values.astype(np.float64))
    assert found[2**21, 0] == found[2**21, 3] == (exact.mean(), exact.std())
    assert found[512, 0] == found[512, 3] == pytest.approx(found[2**21, 0], rel=1e-13)


def test_a_column_without_numbers(stored: StoredInteractions) -> None:
    learner = schema._learner(Number("empty"))
    learner.add(np.array([np.nan, np.inf]))
    assert learner.fit(Number("empty")) == Number("empty", mean=0.0, std=1.0)
