"""The README's Python runs as it stands, and the commands that it names exist."""

import re

import pytest
from support.code_blocks import ROOT, check_command, commands, run_python

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.tensorflow
def test_python_blocks_run_in_order():
    namespace = run_python(README, "README.md")
    assert namespace["y"].shape == (None, 2, 32)
    assert set(namespace["ranker"].output) == {"click", "like"}


def test_commands_and_their_options_exist():
    found = commands(README)
    assert {"quickstart", "test"} <= {words[1] for words in found if words[0] == "make"}
    for words in found:
        check_command(words)


def test_every_command_is_in_its_guide():
    from keras_smes.cli.main import build_parser

    known = set(build_parser()._subparsers._group_actions[0].choices)
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)) == known


def test_files_that_it_links_to_exist():
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
