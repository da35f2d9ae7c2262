"""What importing costs: nothing beyond Keras and the backend that was asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What the extras of setup.py bring: none of it may be needed to import the library.
EXTRAS = [
    *("aiohttp", "duckdb", "grpc", "grpc_health", "ibis", "keras_rs", "keras_smes_serving", "matplotlib"),
    *("polars", "prometheus_client", "pyspark", "tensorflow_recommenders", "tensorflow_serving", "tf_keras"),
    "yaml",
]


def modules_after(statement, backend):
    """Names of the modules that a fresh interpreter holds after `statement`."""
    script = f"import sys; {statement}; print('modules:', *sorted(sys.modules))"
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    answer = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    (line,) = [line for line in answer.stdout.splitlines() if line.startswith("modules:")]
    return set(line.split()[1:])


def test_on_jax_the_library_does_not_import_tensorflow():
    modules = modules_after("from keras_smes import SMES", "jax")
    assert "jax" in modules
    assert "tensorflow" not in modules


def test_on_jax_a_forward_pass_does_not_import_tensorflow():
    call = "keras_smes.SMES(2, 4, 1, 1, 3)(numpy.ones((2, 3), 'float32'))"
    assert "tensorflow" not in modules_after(f"import keras_smes, numpy; {call}", "jax")


def test_what_saved_models_hold_is_registered_after_the_import():
    script = (
        "import keras_smes, keras; names = ('Later', 'ShardedEmbedding', 'SMES', 'SplitOptimizer');"
        "assert all(keras.saving.get_registered_object(f'keras_smes>{name}') for name in names)"
    )
    assert "polars" not in modules_after(script, "tensorflow")


def test_the_library_costs_no_more_than_keras():
    """No package but those that Keras imports by itself."""
    top = lambda modules: {name.partition(".")[0] for name in modules if not name.startswith("_")}  # noqa: E731
    keras_alone = top(modules_after("import keras", "tensorflow"))
    modules = top(modules_after("from keras_smes import SMES", "tensorflow"))
    assert modules - keras_alone - sys.stdlib_module_names == {"keras_smes"}


def test_the_library_imports_where_the_extras_are_missing():
    missing = f"sys.modules.update(dict.fromkeys({EXTRAS}))"
    assert "keras_smes.layers" in modules_after(f"{missing}; from keras_smes import SMES", "jax")


@pytest.mark.parametrize(
    ("before", "legacy", "message"),
    [
        ("", "0", "needs TF_USE_LEGACY_KERAS=1 in the environment"),
        (
            "import tensorflow as tf; tf.keras.Model; os.environ['TF_USE_LEGACY_KERAS'] = '1'",
            "0",
            "is already Keras 3",
        ),
        ("sys.modules['tf_keras'] = None", "1", "pip install"),
        ("os.environ['KERAS_BACKEND'] = 'jax'", "1", "needs KERAS_BACKEND=tensorflow"),
    ],
)
def test_tfrs_says_what_it_needs(before, legacy, message):
    code = f"import os, sys; {before}\nimport keras_smes.tfrs"
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": legacy, "KERAS_BACKEND": "tensorflow"}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    last = answer.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert message in last


def test_names_are_found_and_listed_and_others_are_not():
    import keras_smes

    assert set(keras_smes.__all__) <= set(dir(keras_smes))
    assert all(getattr(keras_smes, name) is not None for name in keras_smes.__all__)
    assert keras_smes.layers.SMES is keras_smes.SMES
    with pytest.raises(AttributeError, match="module 'keras_smes' has no attribute 'nope'"):
        _ = keras_smes.nope
    with pytest.raises(ImportError, match="nope"):
        from keras_smes import nope  # noqa: F401


@pytest.fixture(scope="module")
def saved_rankers(tmp_path_factory):
    """`.keras` files with classes of several rooms in them, written by another process."""
    folder = tmp_path_factory.mktemp("saved")
    code = f"""
import numpy as np
from keras_smes import SMES, FeatureSchema, Number, build_ranker
from keras_smes.baselines import HoME, MMoE
from keras_smes.optimizers import LazyAdam
schema = FeatureSchema((Number("x"),)).fit({{"x": np.arange(9, dtype="float32")}})
experts = {{"smes": SMES(2, 4, 1, 1, (3,)), "mmoe": MMoE(2, 4, (3,)), "home": HoME(2, [[0], [1]], (3,))}}
for name, layer in experts.items():
    ranker = build_ranker(schema, tasks=["a", "b"], experts=layer)
    ranker.compile(LazyAdam(0.01), loss={{"a": "binary_crossentropy", "b": "binary_crossentropy"}})
    ranker.save({str(folder)!r} + f"/{{name}}.keras")
"""
    modules_after(f"exec({code!r})", "tensorflow")
    return folder


@pytest.mark.parametrize("imports", ["import keras_smes", "import keras, keras_smes.routing"])
def test_saved_models_load_after_the_package_alone(saved_rankers, imports):
    load = (
        f"[keras.models.load_model(f'{saved_rankers}/{{name}}.keras') for name in ('smes', 'mmoe', 'home')]"
    )
    modules = modules_after(f"{imports}; import keras; models = {load}", "tensorflow")
    assert "keras_smes.layers.smes" in modules


# Each module in a child of one process that has imported the package itself, as every import of a part of it
# does first, and what takes long. Other parts are not imported there, so that a circle between two shows.
IMPORTS_EACH_FIRST = """
import importlib, os, sys, traceback
import cattrs, duckdb, ibis, keras_smes_serving, polars, scipy.stats, tensorflow_serving
import keras_smes
failed = []
for name in (name for name in sys.argv[1:] if name not in sys.modules):
    if (child := os.fork()) == 0:
        try:
            importlib.import_module(name)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    failed += [name] if os.waitpid(child, 0)[1] else []
print("failed:", *failed)
"""


def test_every_module_can_be_imported_first():
    files = sorted((ROOT / "keras_smes").rglob("*.py"))
    parts = [file.relative_to(ROOT).with_suffix("").parts for file in files]
    names = [".".join(p[:-1] if p[-1] == "__init__" else p) for p in parts if p[-1] != "__main__"]
    names.remove("keras_smes.tfrs")  # needs another environment, see `test_tfrs_says_what_it_needs`
    assert len(names) > 200
    command = [sys.executable, "-c", IMPORTS_EACH_FIRST, *names]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "failed:", done.stderr
