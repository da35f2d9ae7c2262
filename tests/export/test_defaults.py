"""Where every input has a default, a request may leave out any of them."""

import numpy as np
import pytest

from keras_smes import SMES, FeatureSchema, IntegerCategory, Number, Tags, build_ranker
from keras_smes.export import export_version
from keras_smes_serving.server.runtime.servable import Servable
from keras_smes_serving.server.runtime.session import Session

pytestmark = pytest.mark.tensorflow

SCHEMA = FeatureSchema(
    (
        IntegerCategory("user", vocabulary=(1, 2), side="user", default=1),
        IntegerCategory("video", vocabulary=(5, 6), default=-1),
        Number("age", mean=0.0, std=1.0, default=float("nan")),
        Tags("tags", vocabulary=(1, 2, 3), default=()),
    )
)
DEFAULTS = {"user": [1], "video": [-1], "age": [np.nan], "tags": [[0]], "tags_length": [0]}
GIVEN = {"video": [6, 5, 9], "age": [1.0, np.nan, 3.0]}


@pytest.fixture(scope="module")
def ranker():
    return build_ranker(SCHEMA, ["click"], SMES(1, 4, 1, 1, (8,)))


@pytest.fixture(scope="module")
def servable(ranker, tmp_path_factory):
    """A default export: all of its signatures are verified with and without the inputs."""
    exported = export_version(ranker, tmp_path_factory.mktemp("models") / "m", SCHEMA, batch_sizes=(1, 3))
    assert {"serving_default", "rank", "classify", "regress_click", "routing"} == set(exported.signatures)
    servable = Servable(Session(exported.folder))
    yield servable
    servable.close()


@pytest.mark.parametrize("sent", [["video"], ["age"], ["video", "age"], ["user"], ["user", "age"], []])
@pytest.mark.parametrize("signature", ["serving_default", "rank"])
def test_what_is_sent_says_how_many_rows_there_are(signature, sent, servable, ranker):
    user = [2] if signature == "rank" or "age" not in sent else [2, 2, 2]
    request = {name: typed(ranker, name, {"user": user, **GIVEN}[name]) for name in sent}
    rows = 3 if set(sent) & set(GIVEN) else 1
    columns = {name: request.get(name, typed(ranker, name, DEFAULTS[name])) for name in DEFAULTS}
    columns = {name: np.repeat(values, rows // len(values), axis=0) for name, values in columns.items()}
    expected = np.asarray(ranker(columns)["click"])
    assert expected.shape == (rows,)
    found = servable.predict(signature, request)["click"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def typed(ranker, name, values):
    return np.asarray(values, ranker.input[name].dtype)
