"""Imports run one way: down the floors of CONTRIBUTING.md."""

import ast
import collections
import graphlib
import itertools
import re
from pathlib import Path

import keras
import pytest

PACKAGE = Path(__file__).parents[1] / "keras_smes"
ROOMS = {
    "cli": 8,
    "report": 7,
    "experiments": 6,
    "incremental": 6,
    "planning": 6,
    "export": 5,
    "training": 5,
    "baselines": 4,
    "diagnostics": 4,
    "ranker": 4,
    "data": 3,
    "layers": 3,
    "balance": 2,
    "execution": 2,
    "routing": 2,
    "distribution": 2,
    "features": 2,
    "losses": 2,
    "metrics": 2,
    "optimizers": 2,
    "tasks": 2,
    "backend": 1,
    "tfrs": 1,
    "validation": 1,
    "locks": 1,
    "types": 0,
    "files": 0,
    "formatting": 0,
    "console": 0,
    "configuration": 0,
    "moments": 0,
    "environment": 0,
    "viz": 0,
    "serving": 0,
}
# Below, and yet closed.
CLOSED = {
    "layers": {"metrics", "features", "serving"},
    "metrics": {"serving"},
    "data": {"metrics", "execution", "routing", "balance", "serving"},
    "diagnostics": {"data", "serving"},
    "serving": set(ROOMS) - {"serving"},  # old names alone
    "tfrs": set(ROOMS) - {"tfrs", "types"},
}


def rooms():
    return sorted({path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")})


def imported(room):
    """Names of the rooms that a room's files import."""
    files = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").exists() else (PACKAGE / room).rglob("*.py")
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module == "keras_smes":
                names = [f"keras_smes.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            found |= {name.split(".")[1] for name in names if name.startswith("keras_smes.")}
    return found - {room}


def test_every_room_has_a_floor():
    assert set(rooms()) - {"__init__", "__main__"} <= set(ROOMS)


@pytest.mark.parametrize("room", sorted(set(rooms()) & set(ROOMS)))
def test_a_room_imports_from_floors_below(room):
    beside = {other for other in imported(room) & set(ROOMS) if ROOMS[other] >= ROOMS[room]}
    assert not beside
    assert not imported(room) & CLOSED.get(room, set())
    assert "cli" not in imported(room)


TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
OF_NAMED_TUPLES = {"_asdict", "_fields", "_replace"}
# Methods of Keras without a public name that a subclass overrides.
OVERRIDDEN = {"_clip_gradients", "_moments"}
KERAS_CLASSES = (
    keras.Model,
    keras.layers.BatchNormalization,
    keras.optimizers.Adam,
    keras.Loss,
    keras.Metric,
    keras.callbacks.Callback,
)


def own_names():
    """Names that the package's files define, wherever."""
    names = set()
    for node in itertools.chain.from_iterable(map(ast.walk, TREES.values())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.id if isinstance(node, ast.Name) else node.attr)
    return names


def test_private_names_of_others_are_in_backend_alone():
    """Attributes with a leading underscore that no file here defines are somebody else's."""
    ours = own_names() | OF_NAMED_TUPLES
    for path, tree in TREES.items():
        read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        private = {name for name in read - ours if name.startswith("_") and not name.startswith("__")}
        assert not private or path.parent.name == "backend", (path, private)


def test_methods_of_keras_are_overridden_where_this_says():
    keras_own = {name for kind in KERAS_CLASSES for name in dir(kind) if re.match("_[a-z]", name)}
    defined = {
        (str(path.relative_to(PACKAGE)), node.name)
        for path, tree in TREES.items()
        for kind in ast.walk(tree)
        if isinstance(kind, ast.ClassDef) and kind.bases
        for node in kind.body
        if isinstance(node, ast.FunctionDef) and node.name in keras_own
    }
    assert {name for _, name in defined} == OVERRIDDEN, defined


def test_modules_that_others_keep_to_themselves_are_imported_in_backend_alone():
    for path, tree in TREES.items():
        modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        inner = {name for name in modules if name.startswith(("keras.src", "tensorflow.python"))}
        assert not inner or path.parent.name == "backend", (path, inner)


def is_for_checkers(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def modules_imported(tree):
    """Modules of the package that a file imports, at once or later, but for type checkers alone."""
    checkers = {inner for node in tree.body if is_for_checkers(node) for inner in ast.walk(node)}
    for node in set(ast.walk(tree)) - checkers:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_smes"):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_module_imports_itself_by_way_of_others():
    names = {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts): t for p, t in TREES.items()}
    graph = {name: set(modules_imported(tree)) & set(names) - {name} for name, tree in names.items()}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_private_names_stay_in_their_package():
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_smes."):
                private = [alias.name for alias in node.names if alias.name.startswith("_")]
                same = path.relative_to(PACKAGE).parts[0] == node.module.split(".")[1]
                assert not private or same, (path, private)


def test_files_and_folders_are_of_a_size_to_read():
    assert [str(path) for path, _ in TREES.items() if len(path.read_text().splitlines()) > 350] == []
    folders = collections.Counter(path.parent for path in TREES)
    assert [str(folder) for folder, files in folders.items() if files > 15] == []


def positional(function):
    """Names of the parameters that may be given without a name."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    return [argument.arg for argument in arguments if argument.arg not in ("self", "cls")]


def test_no_function_takes_nine_positional_parameters():
    """Layers are apart: Keras' own constructors take all arguments by place."""
    layers = {"layers/smes.py", "layers/expert_pool.py", "baselines/naive_sparse.py", "baselines/home.py"}
    found = {
        (str(path.relative_to(PACKAGE)), node.name)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and len(positional(node)) >= 9
    }
    assert found <= {(layer, "__init__") for layer in layers}
