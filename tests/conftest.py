"""What all tests share: quiet logs, fixed seeds, and tests that only TensorFlow can run."""

import gc
import os
from pathlib import Path

# Read at import: set before anything imports TensorFlow or JAX.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests compare values: to optimize a program takes longer than it saves in a few steps.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

import pytest

LONG = {"distribution", "experiments", "incremental", "notebooks", "training"}


def pytest_configure(config):
    # Keras's advice about a pool of one expert, an edge that the tests visit on purpose.
    config.addinivalue_line("filterwarnings", "ignore:You are using a softmax over axis")


def pytest_collection_modifyitems(items):
    # Files of few tests that take minutes: a worker that took one last would work alone at the end.
    items.sort(key=lambda item: LONG.isdisjoint(item.path.parts))


@pytest.fixture(autouse=True, scope="module")
def _frozen_objects():
    # Keras, TensorFlow and JAX are a million objects that stay, and each file's tests leave graphs behind.
    # Without this each full collection walks them all, and Keras collects at each layer that it quantizes.
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item):
    if item.get_closest_marker("tensorflow") is None:
        return
    import keras

    if keras.backend.backend() != "tensorflow":
        pytest.skip(f"needs the TensorFlow backend of Keras, runs on {keras.backend.backend()}")


@pytest.fixture
def backend():
    """Name of the Keras backend."""
    import keras

    return keras.backend.backend()


@pytest.fixture(autouse=True)
def _fixed_seeds():
    import keras

    keras.utils.set_random_seed(20260209)


@pytest.fixture(scope="session")
def kuairand_folder():
    """Where the real rows of KuaiRand-Pure lie; without them the test is skipped."""
    usual = Path(__file__).parents[1] / ".." / "shared" / "data" / "kuairand-pure"
    folder = Path(os.environ.get("KERAS_SMES_KUAIRAND", usual))
    if not (folder / "data").is_dir():
        pytest.skip(f"no rows of KuaiRand-Pure in {folder} (KERAS_SMES_KUAIRAND says where they lie)")
    return folder
