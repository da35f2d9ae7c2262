"""The warm-up file: one request for each signature, output filter and batch size.

TensorFlow Serving replays it before a version serves its first request. A session has to prepare each set of
outputs (some 30 ms), and XLA each batch size.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_smes.export.graph.signature_defs import read_signatures
from keras_smes.export.verification.parity_cases import ParityCase
from keras_smes_serving.protocol.tensors import encode_content
from keras_smes_serving.server.messages import PredictionLog
from keras_smes_serving.server.models.warmup import MAX_RECORDS, WARMUP_FILE, warm_up
from keras_smes_serving.server.runtime.servable import Servable
from keras_smes_serving.server.runtime.session import Session

Filters = Mapping[str, Sequence[Sequence[str]]]
RANKING = ("serving_default", "rank")
EXAMPLES = {"tensorflow/serving/classify": "classify_log", "tensorflow/serving/regress": "regress_log"}


def write_warmup(folder: Path, cases: Sequence[ParityCase], output_filters: Filters | None = None) -> int:
    """Writes `assets.extra/tf_serving_warmup_requests`, and replays it once.

    Returns:
        Number of records.

    Raises:
        ValueError: A filter names an unknown signature or output, or there are more than 1000 records.
        ServingError: A record fails.
    """
    signatures = read_signatures(folder)
    filters = _filters(signatures, output_filters)
    records = [
        record.SerializeToString(deterministic=True)
        for case in cases
        for record in _records(signatures[case.signature], case, filters[case.signature])
    ]
    if len(records) > MAX_RECORDS:
        raise ValueError(
            f"A warm-up file holds at most {MAX_RECORDS} records: name fewer `output_filters` or "
            f"`batch_sizes`. Received: {len(records)} records"
        )
    path = folder / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return _replay(folder)


def _filters(signatures: Mapping[str, Any], given: Filters | None) -> dict[str, list[list[str]]]:
    chosen: Filters = {} if given is None else given
    for name, lists in chosen.items():
        known = set(signatures[name].outputs) if name in signatures else set()
        if any(not set(outputs) <= known for outputs in lists) or not known:
            raise ValueError(
                f"`output_filters` must name outputs. Received: {name!r}: {list(map(list, lists))}"
            )
    if given is None:
        chosen = {name: _alone(signatures[name]) for name in RANKING if name in signatures}
    return {name: [[], *map(list, chosen.get(name, ()))] for name in signatures}


def _alone(signature: Any) -> list[list[str]]:
    outputs = sorted(signature.outputs)
    return [[output] for output in outputs] if len(outputs) > 1 else []


def _records(signature: Any, case: ParityCase, filters: Iterable[Sequence[str]]) -> Iterable[PredictionLog]:
    if (kind := EXAMPLES.get(signature.method_name)) is not None:
        yield _of_examples(kind, case)
        return
    for outputs in filters:
        log = PredictionLog()
        request = log.predict_log.request
        request.model_spec.signature_name = case.signature
        request.output_filter.extend(outputs)
        for alias, value in case.inputs.items():
            encode_content(value, request.inputs[alias])
        yield log


def _of_examples(kind: str, case: ParityCase) -> PredictionLog:
    log = PredictionLog()
    request = getattr(log, kind).request
    request.model_spec.signature_name = case.signature
    for example in case.inputs["inputs"]:
        request.input.example_list.examples.add().MergeFromString(example)
    return log


def _replay(folder: Path) -> int:
    servable = Servable(Session(folder))
    try:
        return warm_up(servable, folder)
    finally:
        servable.close()
