import json

import pytest

from keras_smes import SMES
from keras_smes.baselines import MMoE
from keras_smes.configuration.document import Document
from keras_smes.training import (
    EarlyStopping,
    EncoderConfig,
    MetricOfTask,
    OptimizerConfig,
    RunConfig,
    TrainingConfig,
    ValidationConfig,
)
from keras_smes.training.config import differing_keys

FULL = RunConfig(
    "simulated",
    data_options={"rows": 100},
    experts={"num_private": [1, 0], "expert_units": (8, 4)},
    encoder=EncoderConfig((16,), crosses=1),
    optimizer=OptimizerConfig(embeddings="rowwise_adagrad", embedding_learning_rate=0.1),
    training=TrainingConfig(
        epochs=3,
        loss_balance="dwa",
        loss_balance_options={"temperature": 1.0},
        validation=ValidationConfig(days=2),
        early_stopping=EarlyStopping("click", "logloss", patience=2),
        select=MetricOfTask("click"),
    ),
)


def test_config_is_json_and_comes_back_equal():
    assert RunConfig.from_dict(json.loads(json.dumps(FULL.to_dict()))) == FULL


@pytest.mark.parametrize("name", ["run.json", "run.yaml"])
def test_config_is_read_from_a_file(tmp_path, name):
    yaml = pytest.importorskip("yaml")
    text = json.dumps(FULL.to_dict()) if name.endswith("json") else yaml.safe_dump(FULL.to_dict())
    (tmp_path / name).write_text(text)
    assert RunConfig.read(tmp_path / name) == FULL


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.json", "{data: 1}", "must be JSON"),
        ("run.yaml", "a: [1", "must be YAML"),
        ("run.json", "[1]", "must hold a mapping"),
    ],
)
def test_files_that_are_refused(tmp_path, name, text, message):
    pytest.importorskip("yaml")
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        Document.read(tmp_path / name)


def test_options_left_out_are_the_usual_ones():
    config = RunConfig("simulated", experts={"num_shared": 3})
    assert config.experts == {
        "num_experts": 16,
        "num_shared": 3,
        "num_private": 1,
        "expert_units": [64, 32],
    }
    assert "num_shared" not in RunConfig("simulated", model="mmoe").experts


@pytest.mark.parametrize(
    ("rows", "size"), [(1, 16), (7_999, 16), (8_000, 32), (63_999, 128), (128_000, 512), (10**9, 512)]
)
def test_a_log_has_batches_by_its_rows(rows, size):
    resolved = RunConfig("log.yaml").for_rows(rows)
    assert resolved.training.batch_size == size
    assert resolved.for_rows(1) == resolved
    assert RunConfig.from_dict(resolved.to_dict()) == resolved


def test_stated_batches_and_those_of_named_data_sets_stay():
    stated = RunConfig("log.yaml", training=TrainingConfig(batch_size=100))
    assert stated.for_rows(4_000).training.batch_size == 100
    for name in ("simulated", "movielens-100k", "kuairand-pure"):
        assert (
            RunConfig(name).training.batch_size == RunConfig(name).for_rows(4_000).training.batch_size == 512
        )


def test_models_by_name():
    options = {"num_experts": 9, "num_shared": 3, "balance_weight": 0.5}
    smes = RunConfig("simulated", experts=options).build_experts(num_tasks=4)
    assert isinstance(smes, SMES)
    assert (smes.router.num_tasks, smes.router.num_experts, smes.router.num_shared) == (4, 9, 3)
    assert smes.balance.weight == 0.5
    mmoe = RunConfig("simulated", model="mmoe", experts={"num_experts": 9}).build_experts(num_tasks=4)
    assert isinstance(mmoe, MMoE)
    assert mmoe.experts.num_experts == 9


@pytest.mark.parametrize("model", ["shared_bottom", "ple", "naive_sparse", "smes_task_balance"])
def test_every_model_has_usual_options(model):
    layer = RunConfig("simulated", model=model).build_experts(num_tasks=2)
    assert layer.compute_output_shape((None, 8)) == (None, 2, 32)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "dense"}, "model='dense'"),
        ({"num_expert": 8}, r"unknown=\['num_expert'\]"),
        ({"experts": {"num_expert": 8}}, r"unknown=\['num_expert'\]"),
        ({"model": "mmoe", "experts": {"num_shared": 2}}, r"unknown=\['num_shared'\]"),
        ({"seed": -1}, "seed=-1"),
        ({"tower_units": [0]}, "tower_units"),
        ({"encoder": {"units": 64}}, "units"),
        ({"encoder": {"crosses": -1}}, "crosses=-1"),
        ({"encoder": 5}, "encoder"),
        ({"training": {"epochs": 0}}, "epochs=0"),
        ({"training": {"batch_size": 1.5}}, "batch_size=1.5"),
        ({"training": {"steps_per_execution": 0}}, "steps_per_execution=0"),
        ({"training": {"epoch": 3}}, r"unknown=\['training.epoch'\]"),
        ({"training": {"loss_balance": "sum"}}, "loss_balance='sum'"),
        ({"training": {"dtype_policy": "float16"}}, "dtype_policy='float16'"),
        ({"training": {"validation": {}}}, "days=None, fraction=None"),
        ({"training": {"validation": {"days": 1, "fraction": 0.1}}}, "days=1, fraction=0.1"),
        ({"training": {"validation": {"fraction": 1.0}}}, "fraction=1.0"),
        ({"training": {"select": {"metric": "auc"}}}, "must have `training.select.task`"),
        ({"training": {"early_stopping": {"task": "click", "patience": 0}}}, "patience=0"),
        ({"optimizer": {"name": "lion"}}, "name='lion'"),
        ({"optimizer": 3}, "`optimizer` must be a mapping. Received: optimizer=3"),
        ({"optimizer": None}, "`optimizer` must be a mapping"),
        ({"optimizer": {"learning_rate": "1e-3"}}, "1e-3 is written 1.0e-3"),
        ({"optimizer": {"name": ["adam"]}}, r"`optimizer.name` must be str. Received: .*\['adam'\]"),
        ({"training": {"epochs": "3"}}, "`training.epochs` must be int. Received: training.epochs='3'"),
        ({"training": {"epochs": True}}, "`training.epochs` must be int"),
        ({"training": {"jit_compile": "no"}}, "`training.jit_compile` must be bool"),
        ({"training": {"loss_balance_options": [1]}}, "`training.loss_balance_options` must be Mapping"),
        ({"training": {"select": {"task": 1}}}, "`training.select.task` must be str"),
        ({"training": {"select": {"task": "click", "metric": "rows"}}}, "metric='rows'"),
        ({"training": {"validation": {"days": 1.5}}}, r"`training.validation.days` must be int \| None"),
        ({"distribution": {"devices": "2"}}, "`distribution.devices` must be int"),
        ({"distribution": {"device": 2}}, r"unknown=\['distribution.device'\]"),
        ({"data_options": [1]}, "`data_options` must be Mapping"),
        ({"data": 5}, "`data` must be str"),
        ({"tower_units": "16"}, "`tower_units` must be Sequence"),
        ({"tower_units": [16, "8"]}, "`tower_units` must be Sequence"),
        ({"experts": {"num_experts": "8"}}, "`experts.num_experts` must be int"),
        ({"experts": {"expert_units": "64,32"}}, "`experts.expert_units` must be int"),
        ({"experts": {"normalize_experts": 1}}, "`experts.normalize_experts` must be bool"),
        ({"experts": 5}, "`experts` must be Mapping"),
        ({1: 2, "model": "smes"}, r"unknown=\['1'\]"),
        ({"optimizer": {"embeddings": "adam"}}, "embeddings='adam'"),
        ({"optimizer": {"schedule": "linear"}}, "schedule='linear'"),
        ({"optimizer": {"learning_rate": 0.0}}, "learning_rate=0.0"),
        ({"optimizer": {"embedding_learning_rate": -1.0}}, "embedding_learning_rate=-1.0"),
        ({"optimizer": {"warmup_steps": -1}}, "warmup_steps=-1"),
    ],
)
def test_refusals(values, message):
    with pytest.raises(ValueError, match=message):
        RunConfig.from_dict({"data": "simulated", **values})


def test_the_data_must_be_named():
    with pytest.raises(ValueError, match="must have `data`"):
        RunConfig.from_dict({"seed": 1})


def test_differing_keys_are_named_with_their_way():
    one = {"a": 1, "b": {"c": 2, "d": {"e": 3}}, "f": None}
    other = {"a": 1, "b": {"c": 9, "d": {"e": 4}}, "g": 5}
    assert differing_keys(one, other) == ["b.c", "b.d.e", "f", "g"]
    assert differing_keys(one, one) == []
