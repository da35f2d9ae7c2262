"""What importing costs: nothing beyond Keras and the backend that was asked for."""

import os
import subprocess
import sys


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
    modules = modules_after("import keras_smes", "jax")
    assert "jax" in modules
    assert "tensorflow" not in modules


def test_on_jax_a_forward_pass_does_not_import_tensorflow():
    call = "keras_smes.SMES(2, 4, 1, 1, 3)(numpy.ones((2, 3), 'float32'))"
    assert "tensorflow" not in modules_after(f"import keras_smes, numpy; {call}", "jax")


def test_the_library_costs_no_more_than_keras():
    """No package but those that Keras imports by itself."""
    top = lambda modules: {name.partition(".")[0] for name in modules if not name.startswith("_")}  # noqa: E731
    keras_alone = top(modules_after("import keras", "tensorflow"))
    modules = top(modules_after("import keras_smes", "tensorflow"))
    assert modules - keras_alone - sys.stdlib_module_names == {"keras_smes"}


def test_the_library_imports_where_the_extras_are_missing():
    missing = "sys.modules.update(dict.fromkeys(['polars', 'matplotlib', 'grpc', 'tensorflow_serving']))"
    assert "keras_smes" in modules_after(f"{missing}; import keras_smes", "jax")
