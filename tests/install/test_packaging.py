"""What the package says of itself: every Python that it claims can have what it needs."""

import importlib.metadata as metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CLAIMED = [
    classifier.rpartition(" ")[2]
    for classifier in metadata.metadata("keras_smes").get_all("Classifier")
    if "Python :: 3." in classifier
]


def needed(name, extras=(), seen=None):
    """The installed distributions that a distribution needs with these extras, themselves and theirs."""
    seen = {} if seen is None else seen
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        marked = requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        )
        key = canonicalize_name(requirement.name)
        if marked and key not in seen:
            seen[key] = metadata.metadata(requirement.name)
            needed(requirement.name, requirement.extras, seen)
    return seen


@pytest.mark.parametrize("version", CLAIMED)
def test_what_the_tests_need_can_be_installed_on_every_python_claimed(version):
    found = needed("keras_smes", ["test"])
    assert {"keras", "tensorflow", "keras-rs", "pytest", "numpy"} <= set(found)
    refusing = {
        name: about["Requires-Python"]
        for name, about in found.items()
        if f"{version}.5" not in SpecifierSet(about["Requires-Python"] or "")
    }
    assert not refusing, refusing


def test_the_lowest_python_claimed_is_the_lowest_admitted():
    admitted = SpecifierSet(metadata.metadata("keras_smes")["Requires-Python"])
    assert CLAIMED[0] in admitted
    major, minor = CLAIMED[0].split(".")
    assert f"{major}.{int(minor) - 1}" not in admitted


def test_both_distributions_are_released_as_one_version():
    import keras_smes
    import keras_smes_serving

    assert keras_smes.__version__ == keras_smes_serving.__version__
    (line,) = [line for line in (ROOT / "setup.py").read_text().splitlines() if line.startswith("SERVING = ")]
    requirement = Requirement(line.split('"')[1])
    assert keras_smes_serving.__version__ in requirement.specifier
    assert "0.1.9" not in requirement.specifier  # never released


def test_the_citation_is_of_the_newest_release_in_the_changelog():
    yaml = pytest.importorskip("yaml", reason='needs the extra "config"')
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    head = f"## {citation['version']} ({citation['date-released']})"
    releases = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert next(line for line in releases if line != "## Unreleased") == head
    assert all(entry["authors"] for entry in (citation, *citation["references"]))
