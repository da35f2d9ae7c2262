"""Schemas as JSON and as YAML."""

import json
import math
import sys

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

# Each field of each kind away from its default, as far as fields agree with each other.
SCHEMA = FeatureSchema(
    (
        IntegerCategory("user_id", dim=3, vocabulary=(2**62 + 1, 7), min_count=2, side="user", default=-1),
        StringCategory("sex", vocabulary=("no", "ø", "01", ""), default="no"),
        IntegerCategory("video_id", dim=4, vocabulary=(5,), table="videos"),
        HashedInteger("author", num_bins=50),
        HashedString("city", dim=2, num_bins=50, table="cities"),
        Number("age", log=True, mean=1 / 3, std=1e-5, default=30.0),
        Number("seconds", buckets=(0.1, 1e20), dim=5),
        Number("hour", buckets=24, side="user"),
        Tags("genres", items="string", min_count=3, max_length=4, pooling="sum", default=("a", "b")),
        Tags("regions", dim=2, items="string", num_bins=50, table="cities", default=()),
        Sequence(
            "history",
            dim=4,
            vocabulary=(5,),
            max_length=9,
            pooling="attention",
            target="video_id",
            attention_units=(8, 4),
            table="videos",
            side="user",
        ),
    )
)


def test_json_comes_back_equal():
    assert FeatureSchema.from_config(json.loads(json.dumps(SCHEMA.to_config()))) == SCHEMA


def test_yaml_comes_back_equal():
    text = SCHEMA.to_yaml()
    assert FeatureSchema.from_yaml(text) == SCHEMA
    assert "side: candidate" not in text  # defaults are left out
    assert "ø" in text


def test_a_missing_default_number_comes_back():
    schema = FeatureSchema((Number("age", default=math.nan),))
    assert math.isnan(FeatureSchema.from_yaml(schema.to_yaml())["age"].default)
    assert math.isnan(FeatureSchema.from_config(json.loads(json.dumps(schema.to_config())))["age"].default)
    assert FeatureSchema.from_yaml(schema.to_yaml()) == schema
    assert FeatureSchema((Number("age", default=np.float32("nan")),)) == schema


def test_yaml_by_hand_from_text_and_file(tmp_path):
    text = """
features:
  - {kind: integer_category, name: user_id, side: user, min_count: 5}
  - &video
    kind: integer_category
    name: video_id
    dim: 8
    table: videos
  - {kind: number, name: seconds, buckets: [5, 10.5]}
  - {kind: tags, name: tags, items: string, max_length: 10}
  - <<: *video
    kind: sequence
    name: history
    pooling: attention
    target: video_id
"""
    expected = FeatureSchema(
        (
            IntegerCategory("user_id", min_count=5, side="user"),
            IntegerCategory("video_id", dim=8, table="videos"),
            Number("seconds", buckets=(5.0, 10.5)),
            Tags("tags", items="string", max_length=10),
            Sequence("history", dim=8, table="videos", pooling="attention", target="video_id"),
        )
    )
    file = tmp_path / "schema.yaml"
    file.write_text(text, encoding="utf-8")
    assert FeatureSchema.from_yaml(text) == expected
    assert FeatureSchema.from_yaml(file) == expected
    assert FeatureSchema.from_yaml(str(file)) == expected


def entry(text):
    return f"features:\n  - {{{text}}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (entry("kind: tag, name: a"), "kind='tag'"),
        (entry("name: a"), "kind=None"),
        (entry("kind: [number], name: a"), r"kind=\['number'\]"),
        (entry("kind: number"), "name=None"),
        (entry("kind: number, name: a, dims: 3"), r"'number'.*name='a', unknown=\['dims'\]"),
        (entry("kind: number, name: a, std: 1, std: 2"), r"repeated=\['std'\]"),
        (entry("kind: number, name: a, mean: 0.0, std: 1e3"), "std='1e3'"),  # YAML 1.1 reads a string
        (entry("kind: number, name: a, log: 1"), "log=1"),
        (entry("kind: integer_category, name: a, dim: 2.0"), "dim=2.0"),
        (entry("kind: integer_category, name: a, vocabulary: [1, yes]"), "'a' takes integers.*bool"),
        (entry("kind: string_category, name: a, vocabulary: [no, f]"), "'a' takes strings.*bool"),
        ("features: []", "not be empty"),
        ("features:\n  - number\n", "Received: 'number'"),
        ("features: number\n", "with a list `features`"),
        ("[]\n", "`source` must hold a mapping"),
        ("features: []\ntasks: []\n", r"unknown=\['tasks'\]"),
        ("features: [\n", "`source` must be YAML"),
        ("features: !!python/object/apply:os.getcwd []\n", "`source` must be YAML"),
    ],
)
def test_what_yaml_says_wrong_is_refused_by_name(text, message):
    with pytest.raises(ValueError, match=message):
        FeatureSchema.from_yaml(text)


def test_without_pyyaml_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ImportError, match=r"keras_smes\[config\]"):
        SCHEMA.to_yaml()
    assert FeatureSchema.from_config(SCHEMA.to_config()) == SCHEMA
