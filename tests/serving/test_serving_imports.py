"""What may import what, and what a missing extra says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import keras_smes.serving

FOLDER = Path(keras_smes.serving.__file__).parent
# Stands in for the package `keras_smes`, which imports Keras, so that only serving is looked at.
ALONE = f"""
import sys, types
package = types.ModuleType("keras_smes")
package.__path__ = [{str(FOLDER.parent)!r}]
sys.modules["keras_smes"] = package
"""


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


@pytest.mark.parametrize(
    "module", ["protocol", "dtypes", "columns", "errors", "flags", "text_configs", "states", "versions"]
)
def test_these_do_without_tensorflow(module):
    code = f"{ALONE}import keras_smes.serving.{module}; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("missing", "module"),
    [
        ("grpc", "client"),
        ("grpc", "server"),
        ("tensorflow_serving", "client"),
        ("prometheus_client", "metrics"),
    ],
)
def test_a_missing_extra_says_how_to_install_it(missing, module):
    code = f"{ALONE}sys.modules['{missing}'] = None; import keras_smes.serving.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip().splitlines()[-1] == (
        'ImportError: Serving needs packages that are not installed: pip install "keras_smes[serving]"'
    )
