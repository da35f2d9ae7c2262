"""Several models, their policies and labels, and what may be changed while the server runs."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import text_format
from serving_support.living_models import (
    AVAILABLE,
    END,
    Asking,
    publish,
    publish_broken,
    refusal,
    until,
)
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest

from keras_smes_serving.server.flags import Flags
from keras_smes_serving.server.model_server import ModelServer

INVALID, FAILED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION


def config(*models: str) -> str:
    return "model_config_list { " + " ".join(f"config {{ {model} }}" for model in models) + " }"


def model(base, name: str = "m", more: str = "") -> str:
    return f'name: "{name}" base_path: "{base / name}" model_platform: "tensorflow" {more}'


def reload(asking: Asking, text: str, **kwargs):
    request = text_format.Parse(f"config {{ {text} }}", ReloadConfigRequest())
    return asking.models.HandleReloadConfigRequest(request, timeout=30, **kwargs)


@pytest.fixture
def base(tmp_path):
    for version in (1, 2, 3):
        publish(tmp_path / "m", version)
    publish(tmp_path / "other", 1, value=100.0)
    return tmp_path


@pytest.fixture
def serve(base):
    """Starts a server from the text of a model config file; `base / "models.config"` is that file."""
    running = []

    def start(text: str, **flags) -> Asking:
        path = base / "models.config"
        path.write_text(text)
        flags = {"file_system_poll_wait_seconds": 0.02, "max_num_load_retries": 0, **flags}
        server = ModelServer(Flags(port=0, model_config_file=str(path), **flags))
        server.start()
        asking = Asking(server.address)
        running.append((asking, server))
        return asking

    yield start
    for asking, server in running:
        asking.channel.close()
        server.stop()


def test_two_models_with_policies(base, serve):
    policy = "model_version_policy { specific { versions: 1 versions: 3 } }"
    asking = serve(config(model(base, more=policy), model(base, "other")))
    until(lambda: asking.states() == {3: AVAILABLE, 1: AVAILABLE})
    assert asking.answer() == (3, 3.0)
    assert asking.answer(version=1) == (1, 1.0)
    assert refusal(asking.answer, version=2)[0] == grpc.StatusCode.NOT_FOUND
    assert asking.answer("other") == (1, 100.0)


def test_all_versions(base, serve):
    asking = serve(config(model(base, more="model_version_policy { all {} }")))
    until(lambda: asking.states() == dict.fromkeys((3, 2, 1), AVAILABLE))
    publish(base / "m", 4)
    until(lambda: asking.states() == dict.fromkeys((4, 3, 2, 1), AVAILABLE))


def test_the_file_is_read_again(base, serve):
    asking = serve(config(model(base)), model_config_file_poll_wait_seconds=0.02)
    assert refusal(asking.answer, "other")[0] == grpc.StatusCode.NOT_FOUND
    (base / "models.config").write_text("not a config")  # is passed over, and the server goes on
    (base / "models.config").write_text(config(model(base, "other")))
    until(lambda: asking.states() == {3: END})
    until(lambda: asking.states("other") == {1: AVAILABLE})
    assert asking.answer("other") == (1, 100.0)
    assert refusal(asking.answer) == (
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(m)",
    )


def test_a_model_that_never_comes_holds_nothing_up(base, serve):
    asking = serve(config(model(base)), model_config_file_poll_wait_seconds=0.02)
    path = base / "models.config"
    path.write_text(config(model(base), model(base, "nowhere")))
    assert {asking.answer() for _ in range(200)} == {(3, 3.0)}, "while the file is read some times"
    path.write_text(config(model(base), model(base, "other")))

    def other() -> tuple:
        try:
            return asking.answer("other")
        except grpc.RpcError as error:
            return error.code(), error.details()

    until(lambda: other() == (1, 100.0))


def test_a_reload_replaces_everything_and_returns_once_new_models_answer(base, serve):
    asking = serve(config(model(base)))
    response = reload(asking, config(model(base, "other")))
    assert response.status.error_code == 0
    assert asking.answer("other") == (1, 100.0)
    until(lambda: asking.states() == {3: END})


def test_canary_and_rollback_by_labels(base, serve):
    def two(stable: int, canary: int) -> str:
        policy = "model_version_policy { specific { versions: 2 versions: 3 } }"
        pointed = {"stable": stable, "canary": canary}
        labels = " ".join(f'version_labels {{ key: "{k}" value: {v} }}' for k, v in pointed.items())
        return config(model(base, more=f"{policy} {labels}"))

    asking = serve(config(model(base, more="model_version_policy { specific { versions: 2 versions: 3 } }")))
    until(lambda: asking.states() == {3: AVAILABLE, 2: AVAILABLE})
    reload(asking, two(stable=2, canary=3))
    assert asking.answer(label="stable") == (2, 2.0)
    assert asking.answer(label="canary") == (3, 3.0)
    reload(asking, two(stable=3, canary=3))
    assert asking.answer(label="stable") == (3, 3.0)
    reload(asking, two(stable=2, canary=2))
    assert asking.answer(label="canary") == (2, 2.0)
    assert refusal(asking.answer, label="blue") == (INVALID, "Unrecognized servable version label: blue")


def test_labels_need_a_version_that_is_available(base, serve):
    asking = serve(config(model(base)))
    labelled = config(model(base, more='version_labels { key: "canary" value: 12 }'))
    text = "Request to assign label to version 12 of model m, which is not currently available for inference"
    assert refusal(reload, asking, labelled) == (FAILED, text)


def test_labels_in_advance(base, serve):
    flags = {"allow_version_labels_for_unavailable_models": True}
    asking = serve(config(model(base, more='version_labels { key: "next" value: 4 }')), **flags)
    assert refusal(asking.answer, label="next")[0] == grpc.StatusCode.NOT_FOUND
    publish(base / "m", 4)
    until(lambda: asking.states() == {4: AVAILABLE, 3: END})
    assert asking.answer(label="next") == (4, 4.0)
    moved = config(model(base, more='version_labels { key: "next" value: 9 }'))
    assert refusal(reload, asking, moved)[0] == FAILED, "a label in use doesn't move in advance"


def test_reloads_that_are_refused(base, serve):
    asking = serve(config(model(base)))
    path = base / "m"
    cases = {
        config(model(base), model(base)): "Illegal to list model m multiple times in config list",
        config(
            'name: "m" base_path: "models/m" model_platform: "tensorflow"'
        ): "Expected model m to have an absolute path or URI; got base_path()=models/m",
        config(f'name: "m" base_path: "{path}"'): "Illegal setting neither ModelServerConfig::model_type "
        "(deprecated) nor ModelServerConfig::model_platform, model name is m",
        config(f'name: "new" base_path: "{path}" model_platform: "jax"'): "Model new requests unsupported "
        "platform jax",
        "": "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is "
        "currently supported",
    }
    for text, message in cases.items():
        assert refusal(reload, asking, text) == (INVALID, message)
    assert asking.answer() == (3, 3.0)


def test_a_new_model_that_cannot_be_loaded_fails_the_reload(base, serve):
    publish_broken(base / "broken", 1)
    asking = serve(config(model(base)))
    code, text = refusal(reload, asking, config(model(base), model(base, "broken")))
    assert code == grpc.StatusCode.UNKNOWN
    assert text.startswith("1 model(s) did not become available: {{{name: broken version: 1} due to error: ")
    assert asking.answer() == (3, 3.0)


def test_a_reload_tells_what_was_counted(base, serve):
    asking = serve(config(model(base)))
    request = text_format.Parse(f"config {{ {config(model(base))} }}", ReloadConfigRequest())
    request.metric_names.append("/tensorflow/serving/request_count")
    (metric,) = asking.models.HandleReloadConfigRequest(request, timeout=30).metric
    assert (metric.name, metric.int64_value_increase) == ("/tensorflow/serving/request_count", 0)


def test_a_bad_file_is_an_error_that_names_the_place(base, serve):
    with pytest.raises(
        ValueError, match=r"Error parsing text-format tensorflow.serving.ModelServerConfig: 1:1"
    ):
        serve("improperly formatted file")
