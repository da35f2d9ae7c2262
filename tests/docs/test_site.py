"""The site builds without a warning, and shows what it is to show."""

import os
import subprocess
import sys

import pytest
from support.code_blocks import ROOT

for needed in ("mkdocs", "material", "mkdocstrings", "mkdocstrings_handlers.python"):
    pytest.importorskip(needed, reason='the site needs pip install -e ".[docs]"')


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    # Not `--quiet`: MkDocs counts the warnings that it logs, and `--strict` aborts on those that it counted.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return folder


def page(site, name):
    return (site / name).read_text(encoding="utf-8")


def test_formulas_lead_to_the_functions_that_compute_them(site):
    specification = page(site, "concepts/specification.html")
    for name in (
        "joint_score",
        "shared_subset",
        "private_experts",
        "gates",
        "executed_experts",
        "union_bound",
    ):
        anchor = f"keras_smes.routing.{name}"
        assert f'href="../reference/layers.html#{anchor}"' in specification
        assert f'id="{anchor}"' in page(site, "reference/layers.html")


def test_pages_kept_elsewhere_are_there_with_their_pictures(site):
    benchmarks = page(site, "measured/benchmarks.html")
    assert 'src="../benchmarks/figures/scale.png"' in benchmarks
    assert (site / "benchmarks/figures/scale.png").read_bytes().startswith(b"\x89PNG")
    assert 'href="../reference/execution.html#keras_smes.execution.dispatch' in benchmarks
    assert "--model_base_path" in page(site, "serving/index.html")


def test_tables_kept_elsewhere_are_put_in(site):
    assert "torch-rechub's MMOE" in page(site, "when.html").replace("&#39;", "'").replace("’", "'")
    assert "<!-- table" not in page(site, "when.html") + page(site, "guides/training.html")


def test_docstrings_become_sections_and_examples_code(site):
    layers = page(site, "reference/layers.html")
    assert '<span class="gp">&gt;&gt;&gt; </span>' in layers  # highlighted as a session
    for words in ("num_experts", "Call arguments", "References", "Examples"):
        assert words in layers


def test_nothing_is_fetched_from_elsewhere(site):
    for name in ("index.html", "reference/layers.html"):
        text = page(site, name)
        for start in ('src="http', '<link rel="stylesheet" href="http', "fonts.googleapis"):
            assert start not in text
