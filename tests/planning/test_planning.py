"""Each formula against what is measured here: built models, optimizers, gradients, routings, messages."""

import dataclasses
import json
import math
import re

import keras
import numpy as np
import pytest

pytest.importorskip("polars", reason='needs the extra "data"')

from keras_smes.baselines.cost import executed_multiplications
from keras_smes.cli import main
from keras_smes.data import simulate
from keras_smes.features.schema import FeatureSchema, IntegerCategory, Sequence
from keras_smes.planning import Cluster, Lookup, Workload, make_plan
from keras_smes.planning.payload import default_request_bytes, request_bytes
from keras_smes.planning.sizes import FLOAT, kept_bytes, multiplications, parameters, slot_bytes
from keras_smes.planning.traffic import (
    all_reduce_bytes,
    all_to_all_bytes,
    dense_gradient_bytes,
    table_bytes,
    touched_bytes,
    touched_rows,
)
from keras_smes.training import EncoderConfig, OptimizerConfig, RunConfig, TrainingConfig
from keras_smes.training.fit import new_model, prepare
from keras_smes.training.loop.transfer_state import slots_by_name, weights_by_name

pytestmark = pytest.mark.tensorflow

CONFIG = RunConfig(
    "simulated",
    experts={"num_experts": 6, "num_shared": 6, "num_private": 0, "expert_units": (8, 4)},
    encoder=EncoderConfig((16, 12)),
    tower_units=(5,),
    training=TrainingConfig(batch_size=48),
)
SMALL = Workload(
    [
        Lookup("user_id", rows=1000, dim=8),
        Lookup("video_id", rows=5000, dim=4, table="videos"),
        Lookup("watched", rows=5000, dim=4, values=10, table="videos", length=True),
    ],
    numbers=3,
    tasks=2,
    encoder_units=(10,),
    num_experts=8,
    num_shared=2,
    num_private=[1, 0],
    expert_units=(6, 5),
    tower_units=(),
    embedding_optimizer="rowwise_adagrad",
    batch_size=64,
    candidates=100,
)


@pytest.fixture(scope="module")
def prepared():
    return prepare(simulate(rows=400, users=30, videos=40, days=3))


@pytest.fixture(scope="module")
def built(prepared):
    """The ranker and the model that trains it, and their workload."""
    ranker, model = new_model(CONFIG, prepared, 10)
    return ranker, model, Workload.of_run(prepared.schema, CONFIG, len(prepared.tasks))


def part_of(name):
    layer = name.partition("/")[0]
    if layer.startswith("embed_"):
        return "tables"
    return layer.partition("_")[0] + ("s" if layer.startswith("tower_") else "")


def sizes_by_part(variables):
    """Numbers in variables by the first word of their layer; routers are in the layer of experts."""
    sizes = {}
    for name, variable in variables.items():
        sizes[part_of(name)] = sizes.get(part_of(name), 0) + math.prod(variable.shape)
    return sizes


def joined(parts):
    return {
        **{k: v for k, v in parts.items() if k != "routers"},
        "experts": parts["experts"] + parts["routers"],
    }


def test_parameters_are_those_of_the_built_model(built):
    ranker, model, workload = built
    planned = parameters(workload)
    assert joined(planned) == sizes_by_part(weights_by_name(model.core))
    assert sum(planned.values()) == ranker.count_params()
    assert planned["routers"] == math.prod(model.core.get_layer("experts").router.kernel.shape)


@pytest.mark.parametrize(
    ("name", "embeddings"),
    [
        ("adam", "lazy_adam"),
        ("adagrad", "rowwise_adagrad"),
        ("sgd", "lazy_adam"),
        ("adamw", "rowwise_adagrad"),
    ],
)
def test_slots_are_those_of_the_optimizer(prepared, name, embeddings):
    config = dataclasses.replace(CONFIG, optimizer=OptimizerConfig(name, embeddings=embeddings))
    _, model = new_model(config, prepared, 10)
    slots = {name.removeprefix("slots/"): slot for name, slot in slots_by_name(model).items()}
    measured = {part: FLOAT * size for part, size in sizes_by_part(slots).items()}
    planned = joined(slot_bytes(Workload.of_run(prepared.schema, config, len(prepared.tasks))))
    assert {part: size for part, size in planned.items() if size} == measured


def test_multiplications_are_those_that_the_layer_executes(built):
    _, model, workload = built
    planned = multiplications(workload)
    assert planned["routers"] + planned["experts"] + planned["mixtures"] == executed_multiplications(
        model.core.get_layer("experts")
    )
    kernels = {"encoder": 0, "towers": 0}
    for name, weight in weights_by_name(model.core).items():
        if part_of(name) in kernels and len(weight.shape) == 2:
            kernels[part_of(name)] += math.prod(weight.shape)
    assert {part: planned[part] for part in kernels} == kernels


def test_dense_gradients_and_touched_rows_are_those_of_a_step(built, prepared):
    import tensorflow as tf

    _, model, workload = built
    batch = prepared.rows.take(np.arange(workload.batch_size))
    with tf.GradientTape() as tape:
        total = model.step_losses(batch, training=True)[1].total
    gradients = tape.gradient(total, model.trainable_variables)
    dense = sum(FLOAT * math.prod(g.shape) for g in gradients if not isinstance(g, tf.IndexedSlices))
    assert dense_gradient_bytes(workload) == dense
    slices = [g for g in gradients if isinstance(g, tf.IndexedSlices)]
    assert len(slices) == len(workload.tables)
    bound = dataclasses.replace(workload, distinct=1.0)
    for (name, rows), gradient in zip(touched_rows(bound).items(), slices, strict=True):
        table = bound.tables[name]
        assert rows == min(len(gradient.indices), table.rows), name
        assert len(np.unique(gradient.indices)) <= rows
    large = dataclasses.replace(
        bound, lookups=[dataclasses.replace(lookup, rows=10**6) for lookup in bound.lookups]
    )
    assert touched_bytes(large) == sum(FLOAT * math.prod(g.values.shape) for g in slices)


def test_instances_travel_as_a_routing_sends_them(built, prepared):
    """Three workers with two experts each: counted over pairs, whose experts are all of them here."""
    _, model, workload = built
    core, n = model.core, 3
    smes = core.get_layer("experts")
    features = {name: values[: workload.batch_size] for name, values in prepared.rows.head(10**9)[0].items()}
    union_be = np.array(keras.Model(core.inputs, smes.route(smes.input)["union"])(features))
    home_b, place_e = np.arange(len(union_be)) % n, np.arange(6) % n
    remote = np.array([(union_be & (place_e != worker))[home_b == worker].sum() for worker in range(n)])
    vectors = workload.encoder_units[-1] + workload.expert_units[-1]
    planned = all_to_all_bytes(workload, Cluster(workers=n, expert_parallel=True))
    assert (remote * vectors * FLOAT * 2 == planned).all()


def test_a_request_weighs_what_tensorflow_servings_message_does():
    api = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
    import tensorflow as tf

    columns = {
        "user_id": np.arange(300, dtype=np.int64),
        "watched": np.ones((300, 20), np.int64),
        "watched_length": np.ones(300, np.int32),
        "age": np.ones(300, np.float32),
    }
    request = api.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "smes", "serving_default"
    for name, values in columns.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    inputs = {name: (values.shape, values.dtype.itemsize) for name, values in columns.items()}
    assert request_bytes(inputs, "smes") == request.ByteSize() == len(request.SerializeToString())
    schema = FeatureSchema(
        (IntegerCategory("a", vocabulary=(1,)), Sequence("b", vocabulary=(1,), max_length=7))
    )
    workload = Workload.of_run(schema, CONFIG, tasks=2, candidates=50)
    inputs = {"a": ((50,), 8), "b": ((50, 7), 8), "b_length": ((50,), 4)}
    assert default_request_bytes(workload) == request_bytes(inputs, "smes")


def test_a_cluster_worked_by_hand():
    cluster = Cluster(workers=4, parameter_servers=2, expert_parallel=True)
    # tables 1000 * 8 + 5000 * 4 (shared by two features); features 8 + 4 + 4 + 3 = 19.
    assert parameters(SMALL) == {
        "tables": 28_000,
        "encoder": 20 * 10,
        "routers": 10 * 2 * 8,
        "experts": 8 * (11 * 6 + 7 * 5),
        "towers": 2 * 6,
    }
    assert SMALL.executed == 3
    # A float for each row beside the tables; two moments beside all else, and its gradient.
    assert kept_bytes(SMALL, cluster) == {
        "server": (28_000 + 6000) * 4 // 2,
        "worker": 4 * 4 * (200 + 160 + 12) + 4 * 4 * 808 // 4,
        "serving": 4 * (28_000 + 200 + 160 + 808 + 12),
    }
    assert all_reduce_bytes(SMALL, cluster) == 2 * 3 * 4 * (200 + 160 + 12) // 4
    # 16 instances a worker, 3 experts each, 3 of 4 elsewhere; 10 + 5 numbers, there and back.
    assert all_to_all_bytes(SMALL, cluster) == 16 * 3 * 3 // 4 * 15 * 4 * 2
    assert touched_rows(SMALL) == {"user_id": 64, "videos": 704}
    moved = 64 * (8 * 4 + 8) + 704 * (4 * 4 + 8)
    assert table_bytes(SMALL, cluster) == {"worker": moved // 4, "server": moved // 2}
    alone = make_plan(SMALL)
    assert (alone.step["all_reduce"], alone.step["all_to_all"], alone.memory["server"]) == (0, 0, 0)


def test_the_command_prints_a_table_or_json(tmp_path, capsys):
    path = tmp_path / "plan.json"
    values = {"lookups": [{"name": "id", "rows": 10**9, "dim": 64}], "batch_size": 4096}
    path.write_text(json.dumps({"model": values, "cluster": {"workers": 2}}))
    assert main(["plan", str(path), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["parameters"]["tables"] == 64 * 10**9
    assert plan["full"]["worker"] > 1
    assert main(["plan", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "64 G" in printed
    assert "too much" in printed


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cluster": {}}, "must have `model`"),
        ({"model": {"lookups": [], "expert": 3}}, r"unknown=\['model.expert'\]"),
        ({"model": {}}, "lookups"),
        ({"model": {"lookups": [{"name": "id", "rows": 0, "dim": 8}]}}, "rows=0"),
        ({"model": {"lookups": [], "num_shared": 99}}, "num_shared"),
        ({"model": {"lookups": []}, "cluster": {"workers": 0}}, "workers=0"),
        ({"model": {"lookups": []}, "cluster": {"link_gb_per_second": 0}}, "link_gb_per_second"),
    ],
)
def test_what_is_no_plan_is_refused(tmp_path, capsys, values, message):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(values))
    assert main(["plan", str(path)]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_ranker_with_batch_norm_has_no_plan():
    config = dataclasses.replace(CONFIG, encoder=EncoderConfig((6,), batch_norm=True))
    with pytest.raises(ValueError, match="batch_norm=True"):
        Workload.of_run(FeatureSchema((IntegerCategory("id", vocabulary=(1,)),)), config, tasks=2)
