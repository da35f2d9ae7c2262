"""What the package says of itself: every Python that it claims can have what it needs."""

import importlib.metadata as metadata

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

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
