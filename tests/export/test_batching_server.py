"""An export for a batching server, made as `serving/deploy/TUNING.md` says: such a server loads it."""

import numpy as np
import pytest

pytest.importorskip("tensorflow_serving", reason='needs the extra "serving"')

from export.test_served import CANDIDATES, ROWS, USER, _tensors
from export.test_warmup import logs, rows_of

from keras_smes.export import export_version
from keras_smes_serving.client import Client, ServingError
from keras_smes_serving.server.embedded import EmbeddedServer

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "batching.config"
    path.write_text("max_batch_size { value: 8 } allowed_batch_sizes: 4 allowed_batch_sizes: 8")
    return {"enable_batching": True, "batching_parameters_file": str(path)}


def test_a_batching_server_loads_what_is_exported_for_it(ranker, schema, fusion, tmp_path, flags):
    made = export_version(ranker, tmp_path / "m", schema, fusion, batch_sizes=(4, 8), batching=True)
    warmed = {rows_of(log)[0] for log in logs(made.folder)}
    assert warmed == set(made.signatures) - {"rank"}
    expected = ranker(_tensors(ROWS))
    with EmbeddedServer("m", tmp_path / "m", **flags) as server, Client(server.address) as client:
        scores = client.predict("m", ROWS)
        np.testing.assert_allclose(scores["click"], expected["click"], rtol=0, atol=1e-5)
        with pytest.raises(ServingError, match="equal 0th-dimension size"):
            client.rank("m", USER, CANDIDATES)
    with EmbeddedServer("m", tmp_path / "m") as server, Client(server.address) as client:
        assert sorted(client.rank("m", USER, CANDIDATES).order) == [0, 1, 2, 3, 4]


def test_without_rank_the_client_ranks_by_rows(ranker, schema, fusion, tmp_path, flags):
    names = ["serving_default"]
    export_version(
        ranker, tmp_path / "m", schema, fusion, signatures=names, batch_sizes=(4, 8), batching=True
    )
    with EmbeddedServer("m", tmp_path / "m", **flags) as server, Client(server.address) as client:
        ranking = client.rank("m", USER, CANDIDATES)
    assert np.all(np.diff(ranking.fused[ranking.order]) <= 0)


def test_a_batching_server_cannot_load_a_warm_up_with_rank(exported, flags):
    with (
        pytest.raises(ServingError, match="did not become available"),
        EmbeddedServer("smes", exported.folder.parent, **flags),
    ):
        pass
