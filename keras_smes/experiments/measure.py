"""One run of an experiment: trains a model on the shared rows and evaluates it."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_smes.baselines.cost import executed_multiplications, parameters
from keras_smes.data import Interactions, Split
from keras_smes.data.datasets.simulated import oracle
from keras_smes.data.rows import Rows as RowsOfLog
from keras_smes.data.split_config import SplitConfig, cut
from keras_smes.diagnostics import Events, RoutingProbe, has_routing
from keras_smes.experiments.config import Experiment
from keras_smes.experiments.user_groups import metrics_without_groups
from keras_smes.tasks import BinaryTask
from keras_smes.training.config import RunConfig
from keras_smes.training.evaluate import evaluate_packed, score_metrics, score_packed
from keras_smes.training.fit import new_model
from keras_smes.training.input.packed_rows import PackedRows
from keras_smes.training.input.plan import StepPlan
from keras_smes.training.input.prepared import Prepared, prepare, prepare_for
from keras_smes.training.input.preprocessing import count_for_any
from keras_smes.training.loop.state import read_variables, state_variables, write_variables
from keras_smes.training.loop.trainer import Trainer

FIGURES = ("auc", "gauc", "logloss", "predicted_over_observed")
ROUTING = ("union_mean", "union_bound", "load_max_over_mean", "dead_experts", "num_experts", "expert_load")
LOAD = ("load_max_over_mean", "dead_experts")
CALLS = 40


class Rows(NamedTuple):
    """Rows that all runs of an experiment share: training and test rows, and both as models take them."""

    parts: Split[RowsOfLog]
    prepared: Prepared
    test: PackedRows


def read_rows(experiment: Experiment, data_dir: Any = None) -> Rows:
    """Reads, cuts and preprocesses the rows of an experiment."""
    rows: RowsOfLog = experiment.runs()[0].config.load(data_dir)
    parts = cut(rows, SplitConfig(**experiment.split))
    parts = dataclasses.replace(parts, train=parts.train.to_train())
    prepared = prepare(parts.train)
    return Rows(parts, prepared, prepare_for(prepared.schema, prepared.tasks, parts.test).rows)


class EpochClock(Events):
    """Notes when each epoch ends; writes nothing."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.ends: list[float] = []

    def scalars(self, step: int, figures: Mapping[str, float]) -> None:
        self.ends.append(time.perf_counter())

    def rows_per_second(self, rows: int) -> float:
        """Of the epochs after the first, in which the graph may be built; of all if there is but one."""
        epochs = len(self.ends) - 1
        seconds = self.ends[-1] - (self.ends[0] if epochs else self.start)
        return round(rows * max(epochs, 1) / seconds, 1)


class Contender:
    """A model that is retrained with each seed, while its graphs are built once."""

    def __init__(self, config: RunConfig, rows: Rows) -> None:
        keras.backend.clear_session()
        self.config, self.rows = config, rows
        self._batch_size = config.batch_size(rows.prepared.rows.num_rows)
        self._steps = StepPlan(rows.prepared.rows, self._batch_size, 0).steps
        self.ranker, self._model = new_model(config, rows.prepared, self._steps)

    def train(self, seed: int) -> EpochClock:
        """Trains from the weights of a seed, in the order of that seed: as `fit_ranker` does, to the bit."""
        config = dataclasses.replace(self.config, seed=seed)
        _, fresh = new_model(config, self.rows.prepared, self._steps)
        write_variables(state_variables(self._model), read_variables(state_variables(fresh)))
        clock = EpochClock()
        plan = StepPlan(self.rows.prepared.rows, self._batch_size, seed)
        Trainer(self._model, plan, config.training, curves=clock).train()
        return clock

    def measure(self, seed: int, candidates: int | None) -> dict[str, Any]:
        """Trains and measures; `candidates` is the size of the request whose latency is measured, if any.

        Returns:
            JSON values: `tasks` (of each, `FIGURES`), `without_groups` (see `metrics_without_groups`),
            `routing` (of the test rows, and `train_` of the load on the training rows), `cost` and `speed`.
        """
        clock, test = self.train(seed), self.rows.parts.test
        measured = evaluate_packed(self.ranker, self.rows.test, test)
        routing = {name: measured["routing"][name] for name in ROUTING if name in measured["routing"]}
        routing |= load_in_training(self.ranker, self.rows.prepared.rows)
        return {
            "tasks": {t: {name: own.get(name) for name in FIGURES} for t, own in measured["tasks"].items()},
            "without_groups": metrics_without_groups(
                self.ranker.get_layer("scores").tasks,
                score_packed(self.ranker, self.rows.test),
                test.labels(),
                test.user_ids(),
            ),
            "routing": routing,
            "cost": cost(self.ranker, routing),
            "speed": {
                "rows_per_second": clock.rows_per_second(len(self.rows.parts.train)),
                "latency_ms": candidates and latency_ms(self.ranker, test, candidates),
            },
        }


def load_in_training(ranker: keras.Model, packed: PackedRows) -> dict[str, float]:
    """Measures the load on the rows that count of those in training: later rows may shift it."""
    core = ranker.get_layer("core")
    if not has_routing(core):
        return {}
    probe = RoutingProbe(core)
    for _, (features, _, counted) in packed.chunks():
        probe.add(features, count_for_any(counted))
    (health,) = probe.results().values()
    return {f"train_{name}": health[name] for name in LOAD}


def cost(ranker: keras.Model, routing: Mapping[str, Any]) -> dict[str, float]:
    """Counts parameters, and multiplications per instance, of the layer of experts with its routers or gates.

    Sparse layers count with the mean number of experts that they executed.
    """
    experts = ranker.get_layer("core").get_layer("experts")
    return {
        "parameters": parameters(experts),
        "all_parameters": ranker.count_params(),
        "multiplications": executed_multiplications(experts, routing.get("union_mean")),
    }


def latency_ms(ranker: keras.Model, rows: RowsOfLog, candidates: int) -> float:
    """Returns the median milliseconds of a call of the whole ranker's graph on raw rows, in this process."""
    import tensorflow as tf

    _, piece = next(rows.pieces())
    request = {
        name: tf.constant(np.resize(values, (candidates, *values.shape[1:])))
        for name, values in piece.columns().items()
    }
    call = tf.function(lambda columns: ranker(columns, training=False))
    seconds = []
    for _ in range(1 + CALLS):
        start = time.perf_counter()
        np.asarray(next(iter(call(request).values())))
        seconds.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seconds[1:]))  # the first call traces


def oracle_tasks(rows: RowsOfLog) -> dict[str, dict[str, Any]]:
    """Returns the metrics of the true probabilities of simulated rows, which no model exceeds on average."""
    assert isinstance(rows, Interactions)  # simulated ones are in memory
    tasks = [task for task in rows.tasks if isinstance(task, BinaryTask)]
    figures = score_metrics(tasks, oracle(rows), rows.labels(), rows.user_ids())
    return {task: {name: own[name] for name in ("auc", "gauc", "logloss")} for task, own in figures.items()}
