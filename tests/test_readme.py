"""The README's Python runs as it stands, and the commands that it names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands(start):
    """The command lines that begin with `start`, each as its words."""
    lines = [line.split() for block in blocks("bash") for line in block.splitlines()]
    return [words for words in lines if words and words[0] == start]


@pytest.mark.tensorflow
def test_python_blocks_run_in_order():
    namespace = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), namespace)
    assert namespace["y"].shape == (None, 2, 32)
    assert set(namespace["ranker"].output) == {"click", "like"}


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {words[1] for words in commands("make")}
    assert {"quickstart", "test"} <= targets
    for target in targets:
        assert f"\n{target}:" in makefile


def test_commands_and_their_options_exist():
    from keras_smes.cli import _parser

    known = _parser()._subparsers._group_actions[0].choices
    assert {words[1] for words in commands("keras-smes")} == set(known)
    for words in commands("keras-smes"):
        if words[1] != "serve":  # its flags are checked by tests/serving
            known[words[1]].parse_args(words[2:])


def test_files_that_it_links_to_exist():
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
