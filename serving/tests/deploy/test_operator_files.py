"""The operator's kit in `serving/deploy/`: what is in it is what a server takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from keras_smes_serving.server.batching.options import batching_options
from keras_smes_serving.server.config_files import read_monitoring_config, read_ssl_config, read_text
from keras_smes_serving.server.flags import parse_flags
from keras_smes_serving.server.metrics import Metrics
from keras_smes_serving.server.models.configs import check_models

FOLDER = Path(__file__).parents[2] / "deploy"


@pytest.mark.parametrize("name", ["models.config", "models.canary.config"])
def test_model_configs_are_what_tensorflow_serving_reads(name):
    text = (FOLDER / name).read_text()
    (model,) = text_format.Parse(text, ModelServerConfig()).model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("smes", "/models/smes", "tensorflow")
    read = read_text(FOLDER / name, ModelServerConfig())
    assert list(read.model_config_list.config) == [model]
    check_models(read.model_config_list.config)
    assert set(model.version_labels.values()) <= set(model.model_version_policy.specific.versions)


def test_batching():
    options = batching_options(FOLDER / "batching.config")
    assert (options.max_batch_size, options.timeout) == (1024, 0.001)
    assert options.allowed_batch_sizes == (64, 256, 1024)


def test_monitoring():
    config = read_monitoring_config(FOLDER / "monitoring.config").prometheus_config
    assert (config.enable, config.path) == (True, "/monitoring/prometheus/metrics")


def test_tls():
    config = read_ssl_config(FOLDER / "ssl.config.example")
    assert config.server_key.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert config.server_cert.endswith("-----END CERTIFICATE-----\n")
    assert config.client_verify


@pytest.mark.parametrize("name", ["compose.yaml", "kubernetes/serving.yaml", "../README.md"])
def test_flags_are_those_that_a_server_takes(name):
    words = re.findall(r"--[a-z_]+(?:=[^\s`|]+)?", (FOLDER / name).read_text())
    flags = [word.rstrip("\\") for word in words if "_" in word or word.startswith("--port")]
    assert flags
    for flag in flags:
        if "=" in flag:
            parse_flags([flag, "--model_base_path=/models", "--enable_batching"])
        else:
            assert flag.removeprefix("--") in parse_flags(["--help"]).__dict__


@pytest.mark.parametrize("name", ["monitoring/rules.yaml", "monitoring/dashboard.json"])
def test_metrics_are_those_that_a_server_has(name):
    known = set(re.findall(r"# TYPE (\S+) ", Metrics().page()))
    text = (FOLDER / name).read_text()
    asked = set(re.findall(r":tensorflow:serving:[a-z_:]+", text))
    assert asked
    assert {
        re.sub("_(bucket|count|sum)$", "", name) if name not in known else name for name in asked
    } <= known


def test_the_dashboard_is_json_with_a_query_in_every_panel():
    dashboard = json.loads((FOLDER / "monitoring" / "dashboard.json").read_text())
    assert all(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) == 8


def test_manifests_do_as_the_contract_advises():
    text = (FOLDER / "kubernetes" / "serving.yaml").read_text()
    assert text.count("/v1/models/smes/metadata") == 2, "startup and readiness"
    assert "tensorflow/serving:2.20.0" in text
    assert 'command: ["tensorflow_model_server"]' in text
    assert "preStop" in text
