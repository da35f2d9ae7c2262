"""An export that is killed leaves nothing in the temporary folder; the next one removes what else it left."""

import json
import signal

import pytest
from support import processes

pytest.importorskip("tensorflow_serving", reason='needs the extra "serving"')

from keras_smes.export import export_version

pytestmark = pytest.mark.tensorflow

# Kills itself where the second argument says: as the proof begins, or as the version is about to appear.
KILLED = """
import os, signal, subprocess, sys
from keras_smes.export.run import export_run

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

run, models, moment = sys.argv[1:]
setattr(*{"proof": (subprocess, "run"), "rename": (os, "rename")}[moment], kill)
export_run(run, models, batch_sizes=(1,))
"""


@pytest.mark.parametrize("moment", ["proof", "rename"])
def test_a_killed_export_leaves_nothing_behind_for_good(ranker, schema, tmp_path, moment):
    run, models, scratch = (tmp_path / name for name in ("run", "models", "scratch"))
    run.mkdir()
    scratch.mkdir()
    ranker.save(run / "model.keras")
    (run / "schema.json").write_text(json.dumps(schema.to_config()))
    process = processes.run(KILLED, (run, models, moment), tmp_path / "log", TMPDIR=str(scratch))
    assert process.wait() == -signal.SIGKILL, process.output
    assert list(scratch.iterdir()) == []
    left = [path.name for path in models.iterdir()]
    assert len(left) == 1
    assert left[0].startswith(".staging-")
    made = export_version(ranker, models, schema, signatures=["serving_default"], batch_sizes=(1,))
    assert [path.name for path in models.iterdir()] == [made.folder.name] == ["1"]


def test_a_ranker_with_sequences_is_exported_without_its_schema(ranker, tmp_path):
    made = export_version(ranker, tmp_path / "m", signatures=["serving_default"], batch_sizes=(1, 5))
    assert made.proof.requests == 2
    assert not [path for path in (tmp_path / "m").iterdir() if path.name.startswith(".")]
