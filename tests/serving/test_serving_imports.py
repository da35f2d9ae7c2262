"""What may import what, and what a missing extra says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import keras_smes.serving

FOLDER = Path(keras_smes.serving.__file__).parent
# The client side: no TensorFlow, and not the package of TensorFlow Serving, which imports it.
LIGHT = ["client", "wire", "load", "protocol", "dtypes", "columns", "errors"]


def imports_of(module: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """All modules that a module of `keras_smes.serving` imports, itself or by way of another."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    inner = {name.rpartition(".")[2] for name in found if name.startswith("keras_smes.serving.")}
    return found.union(*(imports_of(name, seen | inner) for name in inner - seen))


@pytest.mark.parametrize("module", [path.stem for path in FOLDER.glob("*.py")])
def test_serving_needs_no_other_part_of_the_package(module):
    ours = {name for name in imports_of(module) if name.startswith(("keras_smes", "keras"))}
    assert all(name.startswith("keras_smes.serving") for name in ours)


def test_client_and_server_do_not_know_each_other():
    assert not imports_of("client") & {
        f"keras_smes.serving.{name}" for name in ("server", "servable", "core", "manager", "api")
    }
    assert not imports_of("server") & {f"keras_smes.serving.{name}" for name in ("client", "columns")}


def test_only_one_module_imports_the_messages():
    users = [path.stem for path in FOLDER.glob("*.py") if "from tensorflow_serving" in path.read_text()]
    assert users == ["messages"]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def imports(modules: list[str]) -> str:
    return "import " + ", ".join(f"keras_smes.serving.{module}" for module in modules)


def test_these_do_without_tensorflow_and_keras():
    heavy = "{'tensorflow', 'keras', 'jax', 'tensorflow_serving'}"
    light = imports([*LIGHT, "flags", "text_configs", "states", "versions"])
    done = run(f"import sys; {light}; print(*{heavy} & set(sys.modules))")
    assert (done.stdout, done.stderr) == ("\n", "")


def test_the_client_works_where_tensorflow_is_not_installed():
    missing = "['tensorflow', 'tensorflow_serving', 'keras']"
    done = run(f"import sys; sys.modules.update(dict.fromkeys({missing})); {imports(LIGHT)}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("order", ["tensorflow_serving.apis.predict_pb2", "keras_smes.serving.client"])
def test_both_descriptions_of_the_messages_live_in_one_process(order):
    both = "import tensorflow_serving.apis.predict_pb2 as theirs, keras_smes.serving.wire as ours"
    done = run(f"import {order}; {both}; print(ours.PredictRequest is theirs.PredictRequest)")
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("missing", "module"),
    [
        ("grpc", "client"),
        ("grpc", "server"),
        ("google.protobuf", "client"),
        ("tensorflow_serving", "server"),
        ("prometheus_client", "metrics"),
    ],
)
def test_a_missing_extra_says_how_to_install_it(missing, module):
    done = run(f"import sys; sys.modules['{missing}'] = None; import keras_smes.serving.{module}")
    assert done.stderr.strip().splitlines()[-1] == (
        'ImportError: Serving needs packages that are not installed: pip install "keras_smes[serving]"'
    )
