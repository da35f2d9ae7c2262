"""Docstrings say what signatures say, and their examples run."""

import doctest
import importlib
import inspect
import pkgutil
import re

import numpy as np
import pytest
from support.backends import LEGACY_KERAS
from support.code_blocks import run_session

import keras_smes
import keras_smes_serving

SECTION = re.compile(r"^(Args|Call arguments|Returns|Raises|Attributes|Example|References):$")
ARGUMENT = re.compile(r"^ {4}(\*{0,2}\w+): ?(.*)$")
DEFAULT = re.compile(r"Defaults to `([^`]*)`|`([^`]*)`, the default\b")
# Scripts of other processes.
NOT_IMPORTED = {"keras_smes.__main__", "keras_smes.export.verification.c_runtime"}
if not LEGACY_KERAS:
    NOT_IMPORTED.add("keras_smes.tfrs")  # `make test-tfrs` looks at it


def modules():
    packages = [keras_smes, keras_smes_serving]
    names = [m.name for p in packages for m in pkgutil.walk_packages(p.__path__, f"{p.__name__}.")]
    public = [
        name for name in names if name not in NOT_IMPORTED and "._" not in name and not name.endswith("_pb2")
    ]
    return [importlib.import_module(name) for name in ["keras_smes", "keras_smes_serving", *public]]


def public_objects():
    """Functions, classes and methods that the package defines in public, by their dotted names."""
    found = {}
    for module in modules():
        for name, value in vars(module).items():
            is_own = getattr(value, "__module__", None) == module.__name__
            if (
                name.startswith("_")
                or not is_own
                or not (inspect.isclass(value) or inspect.isfunction(value))
            ):
                continue
            found[f"{module.__name__}.{name}"] = value
            if inspect.isclass(value):
                found |= {f"{module.__name__}.{name}.{n}": method for n, method in methods(value).items()}
    return found


def methods(cls):
    """The public methods that a class defines itself, also those of the class."""
    own = {name: getattr(cls, name) for name in vars(cls) if not name.startswith("_")}
    return {
        name: method for name, method in own.items() if inspect.isfunction(method) or inspect.ismethod(method)
    }


OBJECTS = public_objects()


def arguments(value):
    """The section `Args` of a docstring: the text of each argument by name."""
    found, section, last = {}, None, None
    for line in inspect.cleandoc(value.__doc__ or "").splitlines():
        if match := SECTION.match(line):
            section = match.group(1)
        elif section == "Args" and (match := ARGUMENT.match(line)):
            last = match.group(1)
            found[last] = match.group(2)
        elif section == "Args" and last and line.startswith(" " * 8):
            found[last] += " " + line.strip()
    return found


def parameters(value):
    """The parameters of a signature that a user gives, by name as a docstring writes them."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    signature = inspect.signature(value)
    return {
        stars.get(parameter.kind, "") + name: parameter
        for name, parameter in signature.parameters.items()
        if name not in ("self", "cls") and not name.startswith("_")
    }


DOCUMENTED = {name: value for name, value in OBJECTS.items() if arguments(value)}


def test_there_is_something_to_check():
    assert len(DOCUMENTED) > 100
    assert "keras_smes.layers.smes.SMES" in DOCUMENTED
    assert "keras_smes_serving.client.client.Client.rank" in DOCUMENTED


@pytest.mark.parametrize("name", DOCUMENTED)
def test_arguments_are_those_of_the_signature(name):
    documented, given = list(arguments(OBJECTS[name])), parameters(OBJECTS[name])
    passed_on = {key for key in given if key.startswith("*")}  # may be said in a sentence instead
    assert set(documented) - set(given) == set()
    assert set(given) - passed_on - set(documented) == set()
    by_position = [key for key in given if given[key].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert [key for key in documented if key in by_position] == by_position


@pytest.mark.parametrize("name", DOCUMENTED)
def test_defaults_are_those_of_the_signature(name):
    value, given = OBJECTS[name], parameters(OBJECTS[name])
    for argument, text in arguments(value).items():
        default = given[argument].default
        for found in DEFAULT.findall(text):
            said = next(filter(None, found))
            assert default is not inspect.Parameter.empty, f"{argument} has no default, is said to be {said}"
            is_another = said in given  # such as a size that is another one's unless given
            assert is_another or is_same(said, default, value), (
                f"{argument}: {default!r}, is said to be {said}"
            )


def is_same(said, default, value):
    """Whether what a docstring says is the default, as an expression where the function is defined."""
    # A class may take its arguments from a base, whose module has the names.
    function = value.__init__ if isinstance(value, type) else value
    meant = eval(said, vars(importlib.import_module(function.__module__)))
    if isinstance(default, (list, tuple)) or isinstance(meant, (list, tuple)):
        return list(meant) == list(default)
    return bool(np.all(meant == default)) and isinstance(meant, bool) == isinstance(default, bool)


PUBLISHED = sorted(
    {
        f"{value.__module__}.{value.__qualname__}"
        for module in modules()
        for name in getattr(module, "__all__", [])
        if inspect.isclass(value := getattr(module, name)) or inspect.isfunction(value)
    }
    & set(OBJECTS)
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_published_says_what_may_be_left_out(name):
    """A sentence will do for what must be given; what has a default has a meaning to look up."""
    value = OBJECTS[name]
    assert inspect.getdoc(value)
    optional = [p for p in parameters(value).values() if p.default is not inspect.Parameter.empty]
    if optional and not inspect.isabstract(value):
        assert re.search("^(Args|Attributes):|^Arguments, ", inspect.getdoc(value), re.MULTILINE)


@pytest.fixture(scope="session")
def usual():
    """What an example may use without importing it."""
    import dataclasses

    import keras
    import tensorflow as tf

    public = {name: value for value in reversed(modules()) for name, value in published(value)}
    if LEGACY_KERAS:
        public["tfrs"] = importlib.import_module("tensorflow_recommenders")
    return {**public, "dataclasses": dataclasses, "keras": keras, "np": np, "tf": tf}


def published(module):
    names = getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")])
    return [(n, getattr(module, n)) for n in names]


# Examples that speak of what a test doesn't have.
NOT_RUN = {
    "keras_smes.data": "a release of KuaiRand with its real dates",
    "keras_smes.data.datasets.movielens.load_movielens_100k": "a download",
    "keras_smes.data.datasets.kuairand_store.store_kuairand": "progress bars; docs/guides/data.md has none",
    "keras_smes.experiments.run.run_experiment": "somebody's experiment",
    "keras_smes.report.collect.collect": "somebody's runs",
    "keras_smes.report.page.write_report": "somebody's runs",
}
EXAMPLES = {
    test.name: test
    for module in modules()
    for test in doctest.DocTestFinder().find(module)
    if test.examples and test.name not in NOT_RUN
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run(name, usual, tmp_path):
    test = EXAMPLES[name]
    test.globs = {**usual, **test.globs, "folder": tmp_path, **given(name)}
    failed, _ = run_session(test)
    assert not failed


def given(name):
    """Files and rows that the examples of `keras_smes.data` speak of."""
    if not name.startswith("keras_smes.data."):
        return {}
    from pathlib import Path

    from keras_smes.data import simulate
    from keras_smes.data.datasets.fake_kuairand import write_made_up_kuairand

    if "kuairand" in name:
        write_made_up_kuairand("KuaiRand-Pure", rows=400, days=30)
    if name.endswith("scan_table"):
        Path("log.csv").write_text("user_id,is_click\n7,1\n", encoding="utf-8")
    return {"data": simulate(rows=500, users=20, videos=30)}
