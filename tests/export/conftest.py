"""One ranker with every kind of input, exported once."""

import os
import sys
from pathlib import Path

import keras
import pytest

pytest.importorskip("tensorflow_serving", reason='needs the extra "serving"')


@pytest.fixture(scope="session")
def schema():
    from keras_smes.features.schema import (
        FeatureSchema,
        HashedString,
        IntegerCategory,
        Number,
        Sequence,
        StringCategory,
    )

    return FeatureSchema(
        (
            IntegerCategory("user_id", vocabulary=(7, 2**60), side="user", dim=4),
            StringCategory("sex", vocabulary=("f", "m"), side="user", default="f", dim=4),
            Number("age", mean=30.0, std=10.0, side="user"),
            Sequence("seen", vocabulary=(1, 2, 3, 4), side="user", dim=4),
            IntegerCategory("video_id", vocabulary=(1, 2, 3, 4), dim=4),
            HashedString("city", num_bins=11, dim=4),
            Number("seconds", log=True, mean=1.0, std=0.5, default=float("nan")),
        )
    )


@pytest.fixture(scope="session")
def ranker(schema):
    from keras_smes import SMES
    from keras_smes.ranker import build_ranker

    keras.utils.set_random_seed(1)
    options = {"router_rank": 3, "num_always": 1}  # what an export must hold, too
    smes = SMES(2, num_experts=6, num_shared=1, num_private=[1, 2], expert_units=(8, 4), **options)
    units = {"encoder_units": (16,), "tower_units": (4,)}
    ranker = build_ranker(schema, ["click", "like"], smes, **units, batch_norm=True)
    ranker.get_layer("core").get_layer("batch_norm").moving_mean.assign([0.1] * 16)
    return ranker


@pytest.fixture(scope="session")
def fusion():
    return lambda scores: scores["click"] * scores["like"] ** 0.5


@pytest.fixture(scope="session")
def exported(ranker, schema, fusion, tmp_path_factory):
    from keras_smes.export import export_version

    models = tmp_path_factory.mktemp("models") / "smes"
    return export_version(ranker, models, schema, fusion, batch_sizes=(1, 3))


@pytest.fixture(scope="session")
def serving_runtime():
    """The `tensorflow` folder of an installed 2.20.0, which TF Serving 2.20 is built from.

    `pip install --no-deps --target DIR tensorflow-cpu==2.20.0` makes one; `make` puts it beside the packages
    of the virtual environment.
    """
    usual = Path(sys.prefix) / "tensorflow-2.20.0"
    folder = Path(os.environ.get("KERAS_SMES_TENSORFLOW_2_20", usual)) / "tensorflow"
    if not folder.is_dir():
        pytest.skip(
            f"no TensorFlow 2.20.0 in {folder.parent} (KERAS_SMES_TENSORFLOW_2_20 says where it lies)"
        )
    return folder
