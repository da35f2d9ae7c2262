"""Parity cases: requests for each signature, with Keras' outputs."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_smes.export.graph.endpoints import FUSED, ORDER, Fusion, flat, routing_of, tasks_of
from keras_smes.export.graph.inputs import Inputs
from keras_smes.export.graph.tf_examples import example_type, missing
from keras_smes.export.verification.sample_rows import sample_rows

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class ParityCase:
    """A request and the expected outputs.

    Args:
        signature: Name of the signature.
        rows: Its batch size.
        inputs: Arrays by input; those with a default may be missing.
        expected: Arrays by output.
    """

    signature: str
    rows: int
    inputs: Arrays
    expected: Arrays


def make_parity_cases(
    ranker: keras.Model,
    inputs: Inputs,
    signatures: Sequence[str],
    batch_sizes: Sequence[int],
    fusion: Fusion | None = None,
    keys: Sequence[Mapping[str, np.ndarray]] = (),
) -> list[ParityCase]:
    """Returns a case for each signature and batch size.

    The expected outputs come from the Keras model itself, called with whole columns, instead of from the
    exported functions. `keys` are those of tables, see `sample_rows`.
    """
    model = _KerasModel(ranker, inputs, fusion, keys)
    return [
        ParityCase(name, rows, *model.request(name, model.rows(rows, seed)))
        for name in signatures
        for seed, rows in enumerate(batch_sizes)
    ]


def make_parity_cases_without_optional(
    ranker: keras.Model,
    inputs: Inputs,
    signatures: Sequence[str],
    rows: int,
    fusion: Fusion | None = None,
    keys: Sequence[Mapping[str, np.ndarray]] = (),
) -> list[ParityCase]:
    """Returns a case without optional inputs for each signature; none if nothing is optional.

    Not suitable for a warm-up: a default has one row, and a server with batching requires equal numbers of
    rows. A request without any input per row has a single row.
    """
    optional = [name for name, item in inputs.items() if item.default is not None]
    model = _KerasModel(ranker, inputs, fusion, keys)
    cases = []
    for name in signatures if optional else ():
        count = rows if _tells_rows(name, inputs) else 1
        request, expected = model.request(name, model.rows(count, seed=rows, without=optional))
        left = {alias: value for alias, value in request.items() if alias not in optional}
        cases.append(ParityCase(name, count, left, expected))
    return cases


def _tells_rows(signature: str, inputs: Inputs) -> bool:
    """Whether a required input has a row per instance; always true of a tf.Example."""
    if signature not in ("serving_default", "rank", "routing"):
        return True
    needed = [item for item in inputs.values() if item.default is None]
    return any(signature != "rank" or not item.of_user for item in needed)


class _KerasModel:
    def __init__(
        self,
        ranker: keras.Model,
        inputs: Inputs,
        fusion: Fusion | None,
        keys: Sequence[Mapping[str, np.ndarray]],
    ) -> None:
        self._ranker, self._inputs, self._fusion, self._keys = ranker, inputs, fusion, keys
        self._tasks = tasks_of(ranker, fusion)

    def rows(self, count: int, seed: int, without: Sequence[str] = ()) -> Arrays:
        columns = sample_rows(self._inputs, count, seed, self._keys)
        for name in without:
            default = self._inputs[name].default
            assert default is not None
            columns[name] = np.repeat(default, count, axis=0)
        return columns

    def request(self, signature: str, columns: Arrays) -> tuple[Arrays, Arrays]:
        """Returns the inputs of a request for these rows, and the outputs."""
        build: Callable[[Arrays], tuple[Arrays, Arrays]] = {
            "serving_default": self._scores,
            "rank": self._rank,
            "classify": self._classify,
            "routing": self._routing,
        }.get(signature, lambda rows: self._regress(signature, rows))
        return build(columns)

    def _scores(self, columns: Arrays) -> tuple[Arrays, Arrays]:
        scores = self._ranker(_tensors(columns), training=False)
        if self._fusion is not None:
            scores = {**scores, FUSED: flat(self._fusion(scores))}
        return columns, {name: np.asarray(score, np.float32) for name, score in scores.items()}

    def _rank(self, columns: Arrays) -> tuple[Arrays, Arrays]:
        count = len(next(iter(columns.values())))
        user = {name: columns[name][:1] for name, item in self._inputs.items() if item.of_user}
        tiled = {name: np.repeat(value, count, axis=0) for name, value in user.items()}
        _, expected = self._scores({**columns, **tiled})
        if FUSED in expected:
            expected[ORDER] = np.argsort(-expected[FUSED], kind="stable").astype(np.int32)
        return {**columns, **user}, expected

    def _classify(self, columns: Arrays) -> tuple[Arrays, Arrays]:
        request, scores = self._scores(columns)
        single = [task for task in self._tasks if scores[task].size == len(scores[task])]
        values = np.stack([scores[task].ravel() for task in single], axis=1)
        classes = np.array([[task.encode() for task in single]] * len(values), object)
        return self._examples(request), {"classes": classes, "scores": values}

    def _regress(self, signature: str, columns: Arrays) -> tuple[Arrays, Arrays]:
        request, scores = self._scores(columns)
        name = signature.removeprefix("regress").removeprefix("_") or FUSED
        return self._examples(request), {"outputs": scores[name].ravel()}

    def _routing(self, columns: Arrays) -> tuple[Arrays, Arrays]:
        route = routing_of(self._ranker)
        assert route is not None
        routing = {name: np.asarray(values) for name, values in route(_tensors(columns)).items()}
        experts = np.where(routing["executed"] < routing["weights"].shape[2], routing["executed"], -1)
        padded_bte = np.pad(routing["weights"], [(0, 0), (0, 0), (0, 1)])  # expert -1 has weight 0
        gates = np.take_along_axis(padded_bte, experts[:, None].astype(np.int64), axis=2)
        return columns, {"experts": experts, "gates": gates, "shared_experts": routing["shared_experts"]}

    def _examples(self, columns: Arrays) -> Arrays:
        count = len(next(iter(columns.values())))
        return {"inputs": np.array([self._example(columns, row) for row in range(count)], object)}

    def _example(self, columns: Mapping[str, np.ndarray], row: int) -> bytes:
        example = tf.train.Example()
        for name, item in self._inputs.items():
            if item.is_length:
                continue
            value = columns[name][row]
            if not item.spec.shape[1:].is_fully_defined():
                value = value[: max(0, columns[f"{name}_length"][row])]
            elif _are(value, missing(item)):
                continue  # the parser fills it in
            feature = example.features.feature[name]
            kinds = {"int64": feature.int64_list, "float32": feature.float_list, "string": feature.bytes_list}
            kinds[example_type(item).name].value.extend(np.ravel(value).tolist())
        return example.SerializeToString()


def _are(values: Any, others: Any) -> bool:
    return bool(np.all((values == others) | ((values != values) & (others != others))))  # NaN equals NaN


def _tensors(columns: Arrays) -> dict[str, Any]:
    return {name: tf.constant(column) for name, column in columns.items()}
