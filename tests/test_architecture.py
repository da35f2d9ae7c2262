"""Imports run one way: down the floors of CONTRIBUTING.md."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "keras_smes"
ROOMS = {
    "cli": 6,
    "experiments": 5,
    "report": 5,
    "training": 5,
    "incremental": 5,
    "planning": 5,
    "export": 5,
    "ranker": 4,
    "distribution": 1,
    "baselines": 3,
    "diagnostics": 3,
    "layers": 2,
    "metrics": 2,
    "data": 2,
    "serving": 0,
    "routing": 1,
    "tasks": 1,
    "balance": 1,
    "execution": 1,
    "features": 1,
    "optimizers": 1,
    "losses": 1,
    "tfrs": 1,
    "viz": 1,
    "backend": 0,
    "validation": 0,
    "console": 0,
    "environment": 0,
    "files": 0,
    "formatting": 0,
    "locks": 0,
    "configuration": 0,
    "moments": 0,
    "types": 0,
}
# Side by side on a floor, or below, and yet closed to each other.
CLOSED = {
    "layers": {"metrics", "data", "serving", "features"},
    "metrics": {"layers", "data", "serving"},
    "data": {"layers", "metrics", "serving", "execution", "routing", "balance"},
    "serving": set(ROOMS) - {"serving"},  # old names alone
    "execution": {"layers", "routing", "balance", "features"},
    "features": {"layers", "execution", "routing", "balance"},
    "diagnostics": {"data", "serving", "baselines"},
    "tasks": {"features", "execution", "routing", "balance", "losses", "optimizers"},
    "tfrs": set(ROOMS) - {"tfrs", "types"},
    "viz": set(ROOMS) - {"viz", "types"},
    "training": {"incremental", "experiments", "export"},
    "export": {"incremental", "experiments", "training"},
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
def test_a_room_imports_from_its_floor_or_below(room):
    above = {other for other in imported(room) & set(ROOMS) if ROOMS[other] > ROOMS[room]}
    assert not above
    assert not imported(room) & CLOSED.get(room, set())
    assert "cli" not in imported(room)


# What Keras names for itself, and an optimizer may override: its subclasses are in `optimizers/`.
PRIVATE = re.compile(
    r"\._(functional|nodes_by_depth|run_through_graph|inputs_struct|inbound_nodes|keras_mask|losses|flatten_layers|"
    r"get_call_context)\b"
)


def test_private_names_of_keras_are_in_backend_alone():
    found = {path for path in PACKAGE.rglob("*.py") if PRIVATE.search(path.read_text(encoding="utf-8"))}
    assert {path.parent.name for path in found} == {"backend"}, found


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
