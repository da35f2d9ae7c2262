"""Writes a small ranker, its answers and its SavedModel, for the test that later code still loads them.

    git worktree add --detach /tmp/old 71cca45      # the commit before routers became one product
    PYTHONPATH=/tmp/old:/tmp/old/serving python tests/saved/write_models.py tests/saved

A format that changes gets a file of its own beside this one: what is here is never written anew.
"""

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_smes import SMES, FeatureSchema, IntegerCategory, Number, build_ranker
from keras_smes.export import write_saved_model

ROWS = {
    "video_id": np.array([5, 6, 7, 99, 5, 6, 7, -1]),
    "age": np.linspace(-2, 2, 8).astype("float32"),
}


def main(folder: Path) -> None:
    keras.utils.set_random_seed(1)
    features = (IntegerCategory("video_id", vocabulary=(5, 6, 7), dim=3), Number("age", mean=0.5, std=2.0))
    schema = FeatureSchema(features)
    smes = SMES(3, 7, num_shared=2, num_private=[1, 0, 2], expert_units=(4, 3), normalize_experts=True)
    ranker = build_ranker(schema, ["click", "like", "share"], smes, encoder_units=(5,), tower_units=(3,))
    ranker.save(folder / "ranker.keras")
    _compress(folder / "ranker.keras")
    answers = {task: np.asarray(scores) for task, scores in ranker(ROWS).items()}
    np.savez_compressed(folder / "answers.npz", **answers)
    with tempfile.TemporaryDirectory() as temporary:
        write_saved_model(ranker, Path(temporary) / "model", schema, signatures=["serving_default"])
        shutil.make_archive(str(folder / "saved_model"), "zip", Path(temporary) / "model")


def _compress(path: Path) -> None:
    """Writes a zip file anew, a tenth of the size: Keras doesn't compress."""
    with zipfile.ZipFile(path) as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as compressed:
        for name, content in members.items():
            compressed.writestr(name, content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
