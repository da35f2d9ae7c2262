"""The README's Python runs as it stands, and the commands that it names exist."""

import json
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


# How the README names the layers of benchmarks/results/peers.json.
PEERS = {
    "torch-rechub's MMOE": "torch-rechub MMOE",
    "Keras dense MMoE": "Keras dense MMoE",
    "naive sparse MoE, as many experts per task": "naive sparse MoE",
}


def test_speed_is_that_of_the_benchmark():
    rows = json.loads((ROOT / "benchmarks" / "results" / "peers.json").read_text())["rows"]
    times = {(row["layer"], row["pass"]): f"{row['times_smes']:.1f}" for row in rows}
    table = {label: cells for label, *cells in rows_of_table(README, "layer of 17 M parameters")}
    assert set(table) == set(PEERS)
    for label, cells in table.items():
        quoted = [re.match(r"[\d.]+", cell)[0] for cell in cells]
        assert quoted == [times[PEERS[label], kind] for kind in ("forward", "train")], label


def test_the_benchmarks_page_has_the_times_of_its_results():
    rows = json.loads((ROOT / "benchmarks" / "results" / "peers.json").read_text())["rows"]
    times = {(row["layer"], row["pass"]): (row["median_ms"], row["times_smes"]) for row in rows}
    page = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    labels = ("SMES", "naive sparse MoE", "Keras dense MMoE", "torch-rechub MMOE")
    for label, cells in zip(labels, rows_of_table(page, "executed experts"), strict=False):
        quoted = [cell.strip("*") for cell in cells[3:]]
        exact = [*times[label, "forward"], *times[label, "train"]]
        assert quoted == [rounded_like(cell, value) for cell, value in zip(quoted, exact, strict=True)], label


def rounded_like(cell, value):
    """A number with as many decimals as the cell has."""
    return f"{value:,.{len(cell.partition('.')[2])}f}"


def rows_of_table(text, head):
    """The cells of each row of the table whose head has these words."""
    (table,) = re.findall(rf"^\|[^\n]*{re.escape(head)}.*?(?=^$)", text, flags=re.DOTALL | re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
