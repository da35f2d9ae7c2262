"""Which engine a configuration and `TF_CONFIG` mean, and what it refuses."""

import json

import pytest

from keras_smes.distribution import Cluster, DistributionConfig, Engine, build_engine
from keras_smes.distribution.replicated import ReplicatedEngine
from keras_smes.training import RunConfig, TrainingConfig

WORKERS = {"worker": ["h0:1", "h1:1"]}
SERVERS = {"chief": ["h0:1"], "worker": ["h1:1", "h2:1"], "ps": ["h3:1"]}


def set_tf_config(monkeypatch, cluster, kind, index):
    values = {"cluster": cluster, "task": {"type": kind, "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(values))


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "engine", "place"),
    [
        (WORKERS, "worker", 0, "multi_worker", (0, 2)),
        (WORKERS, "worker", 1, "multi_worker", (1, 2)),
        (SERVERS, "chief", 0, "parameter_server", (0, 3)),
        (SERVERS, "worker", 1, "parameter_server", (2, 3)),
    ],
)
def test_the_cluster_says_which_engine_and_which_place(monkeypatch, cluster, kind, index, engine, place):
    set_tf_config(monkeypatch, cluster, kind, index)
    found = Cluster.from_environment()
    assert (found.engine, found.place) == (engine, place)


def test_without_others_it_is_one_device(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert type(build_engine(DistributionConfig())) is Engine
    set_tf_config(monkeypatch, {"worker": ["h0:1"]}, "worker", 0)
    assert type(build_engine(DistributionConfig())) is Engine
    set_tf_config(monkeypatch, WORKERS, "worker", 0)
    assert type(build_engine(DistributionConfig("single"))) is Engine


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"cluster": {"worker": ["a:1", "b:1"]}}', '{"cluster": {"worker": 3}}']
)
def test_a_tf_config_that_is_none(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match="`TF_CONFIG` must be JSON"):
        build_engine(DistributionConfig())


def test_a_process_that_is_not_of_the_cluster(monkeypatch):
    set_tf_config(monkeypatch, WORKERS, "worker", 2)
    with pytest.raises(ValueError, match="task 'worker' 2"):
        build_engine(DistributionConfig())
    set_tf_config(monkeypatch, {"worker": ["a:1", "b:1"], "evaluator": ["c:1"]}, "worker", 0)
    with pytest.raises(ValueError, match=r"\['evaluator'\]"):
        build_engine(DistributionConfig())


@pytest.mark.tensorflow
def test_refusals(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="Received: engine='horovod'"):
        DistributionConfig("horovod")
    with pytest.raises(ValueError, match="`devices`"):
        DistributionConfig("mirrored", devices=0)
    with pytest.raises(ValueError, match="needs KERAS_BACKEND=jax"):
        build_engine(DistributionConfig("expert_parallel"))
    with pytest.raises(ValueError, match="needs TF_CONFIG"):
        build_engine(DistributionConfig("multi_worker"))
    with pytest.raises(ValueError, match="Received: devices=64"):
        build_engine(DistributionConfig("mirrored", devices=64))
    set_tf_config(monkeypatch, SERVERS, "chief", 0)
    with pytest.raises(ValueError, match="needs TF_CONFIG"):
        build_engine(DistributionConfig("multi_worker"))


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("option", "value"),
    [("jit_compile", True), ("loss_balance", "pcgrad"), ("dtype_policy", "mixed_float16")],
)
def test_what_replicas_can_not_do(option, value):
    engine = build_engine(DistributionConfig("mirrored", devices=1))
    assert isinstance(engine, ReplicatedEngine)
    with pytest.raises(ValueError, match=f"`{option}`"):
        engine.check(RunConfig("simulated", training=TrainingConfig(**{option: value})))
