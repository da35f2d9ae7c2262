"""Imports run one way: the client and the server upon the protocol, the server down its floors."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import keras_smes_serving

FOLDER = Path(keras_smes_serving.__file__).parent
NAME = "keras_smes_serving"
MODULES = sorted(
    ".".join(path.relative_to(FOLDER).with_suffix("").parts).removesuffix(".__init__")
    for path in FOLDER.rglob("*.py")
    if path.parent != FOLDER or path.name != "__init__.py"
)
# Each room and those that it may import from. The client side imports no TensorFlow.
LIGHT = {"protocol": set(), "client": {"protocol"}, "load_test": {"client", "protocol"}}
SERVER = [
    *(
        "config_files",
        "flags",
        "metrics",
        "messages",
        "request_log",
        "runtime",
        "batching",
        "handlers",
        "models",
    ),
    *("api", "grpc", "rest", "model_server", "embedded", "main"),
]


def imports_of(module: str) -> set[str]:
    """All modules that a module imports itself."""
    path = FOLDER / module.replace(".", "/")
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            parent = FOLDER.parent / node.module.replace(".", "/")
            is_package = node.module.startswith(NAME) and parent.is_dir()
            found |= {f"{node.module}.{alias.name}" if is_package else node.module for alias in node.names}
    return found


def ours(module: str) -> set[str]:
    """Those of them that are of this distribution."""
    return {name.removeprefix(f"{NAME}.") for name in imports_of(module) if name.startswith(f"{NAME}.")}


def room_of(module: str) -> str:
    first, _, rest = module.partition(".")
    return rest.partition(".")[0].removesuffix("_pb2") if first == "server" else first


@pytest.mark.parametrize("module", MODULES)
def test_serving_needs_nothing_of_keras_smes_nor_keras(module):
    assert not {name for name in imports_of(module) if name.partition(".")[0] in ("keras_smes", "keras")}


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("server")])
def test_the_client_side_imports_neither_tensorflow_nor_the_server(module):
    outside = {"tensorflow", "tensorflow_serving", f"{NAME}.server"}
    assert not {name for name in imports_of(module) if name.startswith(tuple(outside))}
    assert {room_of(name) for name in ours(module)} <= LIGHT[room_of(module)] | {room_of(module)}


def test_the_client_side_imports_what_the_distribution_requires():
    """An environment of the tests has more installed, and would not miss a requirement."""
    needed = {"grpcio": "grpc", "protobuf": "google", "numpy": "numpy", "ml_dtypes": "ml_dtypes"}
    requirements = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())["project"]["dependencies"]
    light = [name for name in MODULES if not name.startswith("server")]
    imported = {name.partition(".")[0] for module in light for name in imports_of(module)}
    assert imported - sys.stdlib_module_names - {NAME} == set(needed.values())
    assert {re.match(r"\w+", requirement)[0] for requirement in requirements} == set(needed)


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("server.")])
def test_the_server_imports_down_its_floors_and_no_client(module):
    assert not {name for name in ours(module) if name.startswith(("client", "load_test"))}
    floor = SERVER.index(room_of(module))
    inside = {room_of(name) for name in ours(module) if name.startswith("server.")} - {"INSTALL_HINT"}
    assert {name for name in inside if SERVER.index(name) > floor} == set()


def test_only_one_module_imports_the_messages():
    users = [path.name for path in FOLDER.rglob("*.py") if "from tensorflow_serving" in path.read_text()]
    assert users == ["messages.py"]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


LIGHT_MODULES = [f"{NAME}.{name}" for name in MODULES if not name.startswith("server")]
IMPORT_ALL = f"import {', '.join(LIGHT_MODULES)}"


def test_these_do_without_tensorflow_and_keras():
    heavy = "{'tensorflow', 'keras', 'jax', 'tensorflow_serving', 'keras_smes'}"
    server = ", ".join(
        f"{NAME}.server.{name}" for name in ("flags", "config_files", "models.states", "models.versions")
    )
    done = run(f"import sys; {IMPORT_ALL}; import {server}; print(*{heavy} & set(sys.modules))")
    assert (done.stdout, done.stderr) == ("\n", "")


def test_the_client_works_where_only_its_needs_are_installed():
    missing = "['tensorflow', 'tensorflow_serving', 'keras', 'keras_smes', 'aiohttp', 'prometheus_client']"
    done = run(f"import sys; sys.modules.update(dict.fromkeys({missing})); {IMPORT_ALL}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("order", ["tensorflow_serving.apis.predict_pb2", "keras_smes_serving.client"])
def test_both_descriptions_of_the_messages_live_in_one_process(order):
    both = (
        "import tensorflow_serving.apis.predict_pb2 as theirs, keras_smes_serving.protocol.messages as ours"
    )
    done = run(f"import {order}; {both}; print(ours.PredictRequest is theirs.PredictRequest)")
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("missing", "module"),
    [
        ("tensorflow_serving", "server.main"),
        ("aiohttp", "server.main"),
        ("grpc_health", "server.main"),
        ("prometheus_client", "server.metrics"),
    ],
)
def test_a_missing_extra_says_how_to_install_it(missing, module):
    done = run(f"import sys; sys.modules['{missing}'] = None; import {NAME}.{module}")
    assert done.stderr.strip().splitlines()[-1] == (
        "ImportError: The server needs packages that are not installed: "
        'pip install "keras_smes_serving[server]"'
    )


def test_old_names_warn_and_are_the_new_ones():
    old = {"client": "Client", "server": "EmbeddedServer", "servable": "Servable", "session": "Session"}
    imports = "; ".join(f"from keras_smes.serving.{module} import {name}" for module, name in old.items())
    done = run(f"{imports}; print(*(c.__module__ for c in ({', '.join(old.values())})))")
    assert done.stdout.split() == [
        f"{NAME}.{module}"
        for module in (
            "client.client",
            "server.embedded",
            "server.runtime.servable",
            "server.runtime.session",
        )
    ]
    warned = run("import warnings; warnings.simplefilter('default'); import keras_smes.serving")
    assert "DeprecationWarning: keras_smes.serving is called keras_smes_serving now" in warned.stderr
