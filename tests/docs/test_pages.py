"""What the pages of the site say is tried: Python runs, sessions print what they show, commands exist."""

from pathlib import Path

import pytest
from support.backends import LEGACY_KERAS
from support.code_blocks import FENCE, ROOT, blocks, check_command, commands, run_python

DOCS = ROOT / "docs"
# Those that are written elsewhere and put into the site by docs/hooks.py.
INCLUDED = [
    ROOT / "serving" / "README.md",
    ROOT / "serving" / "deploy" / "TUNING.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "experiments" / "README.md",
    ROOT / "notebooks" / "README.md",
    ROOT / "CONTRIBUTING.md",
]
PAGES = [*sorted(DOCS.rglob("*.md")), *(page for page in INCLUDED if page.exists())]


def read(page):
    return page.read_text(encoding="utf-8")


def name(page):
    return str(page.relative_to(ROOT))


OF_TFRS = DOCS / "guides" / "tfrs.md"  # runs by `make test-tfrs`
WITH_PYTHON = [
    page
    for page in PAGES
    if DOCS in page.parents and blocks(read(page), "python") and (LEGACY_KERAS or page != OF_TFRS)
]


@pytest.mark.tensorflow
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_python_runs(page):
    run_python(read(page), name(page))


@pytest.mark.parametrize("page", [page for page in PAGES if commands(read(page))], ids=name)
def test_commands_exist(page):
    for words in commands(read(page)):
        check_command(words)


def test_languages_are_known():
    """A block in another language would be run by nobody."""
    for page in PAGES:
        languages = {language for _, language, _ in FENCE.findall(read(page))}
        assert languages <= {"", "bash", "pycon", "python", "yaml"}, name(page)


def test_experiments_and_logs_as_yaml_can_be_read(tmp_path):
    from keras_smes.data import Log
    from keras_smes.experiments import Experiment

    found = [code for page in PAGES for _, code in blocks(read(page), "yaml")]
    logs = [code for code in found if "files:" in code]
    assert logs
    assert len(logs) < len(found)
    for code in found:
        path = Path(tmp_path) / "example.yaml"
        path.write_text(code, encoding="utf-8")
        assert Log.read(path).tasks if code in logs else Experiment.read(path).runs()


@pytest.mark.tensorflow
def test_the_handbook_asks_a_server(tmp_path, capsys):
    """The client's block of serving/README.md, with a server at another port."""
    import tensorflow as tf

    from keras_smes_serving.server.embedded import EmbeddedServer

    ids = [tf.TensorSpec([None], tf.int64, name=name) for name in ("user_id", "item_id")]

    class Model(tf.Module):
        @tf.function(autograph=False, input_signature=ids)
        def score(self, user_id, item_id):
            return {"click": tf.cast(item_id - user_id, tf.float32)}

    model = Model()
    tf.saved_model.save(model, str(tmp_path / "smes" / "1"), signatures={"serving_default": model.score})
    with EmbeddedServer("smes", tmp_path / "smes") as server:
        text = read(ROOT / "serving" / "README.md").replace("localhost:8500", server.address)
        assert run_python(text, "serving/README.md")["scores"]["click"].tolist() == [35.0, 36.0]
    assert "TensorSpec" in capsys.readouterr().out
