"""The runbook for a canary, in `serving/README.md`: its commands, carried out on the embedded server."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from serving_support.living_models import AVAILABLE, Asking, publish, until
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from keras_smes_serving.server.flags import Flags
from keras_smes_serving.server.model_server import ModelServer

SERVING = Path(__file__).parents[2]
FOLDER = SERVING / "deploy"


def commands() -> list[list[str]]:
    """The arguments of `model_config.sh`, in the order of the runbook."""
    lines = re.findall(r"^ *sh serving/deploy/model_config.sh (.*) > /models/models.config$",
                       (SERVING / "README.md").read_text(), re.MULTILINE)  # fmt: skip
    return [shlex.split(line) for line in lines]


HOLD, BOTH, CANARY, PROMOTE, TIDY, BOTH_AGAIN = commands()


def written(arguments: list[str]) -> str:
    command = ["sh", str(FOLDER / "model_config.sh"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_canary_is_the_example():
    example = (FOLDER / "models.canary.config").read_text()
    assert text_format.Parse(written(CANARY), ModelServerConfig()) == text_format.Parse(
        example, ModelServerConfig()
    )


def test_the_folder_of_the_models_is_the_operators_choice(monkeypatch):
    monkeypatch.setenv("MODELS", "/srv/models of 2026")
    (model,) = text_format.Parse(written(HOLD), ModelServerConfig()).model_config_list.config
    assert (model.name, model.base_path) == ("smes", "/srv/models of 2026/smes")


@pytest.fixture
def operator(tmp_path):
    """Writes what a command says, and waits until labels point where they should."""
    publish(tmp_path / "smes", 6)
    path = tmp_path / "models.config"

    def write(arguments: list[str]) -> None:
        path.write_text(written(arguments).replace('"/models/', f'"{tmp_path}/'))

    write(HOLD)
    flags = {
        "allow_version_labels_for_unavailable_models": True,
        "file_system_poll_wait_seconds": 0.02,
        "model_config_file_poll_wait_seconds": 0.02,
    }
    with (
        ModelServer(Flags(port=0, model_config_file=str(path), **flags)) as server,
        Asking(server.address) as asking,
    ):

        def follow(arguments: list[str], loaded: set[int], **labels: int) -> None:
            write(arguments)
            until(lambda: {v for v, state in asking.states("smes").items() if state == AVAILABLE} == loaded)
            for label, version in labels.items():
                until(lambda label=label, version=version: says(asking, label) == version)

        yield follow


def says(asking: Asking, label: str) -> int | None:
    """Which version a label answers with; None while there is no such label."""
    try:
        return asking.answer("smes", label=label)[0]
    except grpc.RpcError:
        return None


def test_a_canary_is_promoted_and_rolled_back(operator, tmp_path):
    operator(HOLD, {6}, stable=6)
    publish(tmp_path / "smes", 7)
    operator(BOTH, {6, 7}, stable=6)
    operator(CANARY, {6, 7}, stable=6, canary=7)
    operator(PROMOTE, {6, 7}, stable=7, canary=7)
    operator(CANARY, {6, 7}, stable=6, canary=7)
    operator(PROMOTE, {6, 7}, stable=7, canary=7)
    operator(TIDY, {7}, stable=7)
    operator(BOTH_AGAIN, {6, 7}, stable=7)
    operator(CANARY, {6, 7}, stable=6, canary=7)
