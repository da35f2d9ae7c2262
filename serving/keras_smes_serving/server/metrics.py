"""The metrics of a server, with the names of TensorFlow Serving."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from keras_smes_serving.server import INSTALL_HINT

try:
    from prometheus_client import CollectorRegistry, Counter, Histogram
    from prometheus_client.samples import Sample
except ImportError as error:
    raise ImportError(INSTALL_HINT) from error

_PREFIX: Final = ":tensorflow:serving:"


def exponential(scale: float, growth: float, count: int) -> list[float]:
    """Returns the bounds of a histogram: `count` bounds from `scale`, each `growth` times the one before."""
    return [float(f"{scale * growth**power:.6g}") for power in range(count)]


class Metrics:
    """The counters and histograms of one server.

    Latencies are in microseconds. As in TensorFlow Serving, a latency is recorded only for a successful
    request, and MultiInference isn't counted.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.request_count = self._counter("request_count", "model_name", "status")
        self.request_latency = self._latency("request_latency", "model_name", "API", "entrypoint")
        self.runtime_latency = self._latency("runtime_latency", "model_name", "API", "runtime")
        self.warmup_latency = self._latency("model_warmup_latency", "model_path", "status")
        self.warmup_records = self._counter("model_warmup_records_read", "model_path", "status")
        sizes = exponential(1, 2, 14)
        batching = "batching_session:"
        self.input_batch_size = self._histogram(f"{batching}input_batch_size", sizes)
        self.processed_batch_size = self._histogram(f"{batching}processed_batch_size", sizes)
        self.padding_size = self._histogram(f"{batching}padding_size", sizes, "execution_batch_size")
        waits = exponential(100, 1.2, 52)
        self.queuing_latency = self._histogram(f"{batching}queuing_latency", waits, "thread_pool_name")
        self.wrapped_run_count = self._counter(f"{batching}wrapped_run_count")

    @contextmanager
    def runtime(self, model: str, api: str) -> Iterator[None]:
        """Records the time of a successful run; `api` is such as `"Predict"`."""
        began = time.perf_counter()
        yield
        self.runtime_latency.labels(model, api, "TF1").observe(microseconds_since(began))

    def value(self, name: str) -> int:
        """Returns the first value of a counter, `"/tensorflow/serving/request_count"`; 0 if unknown."""
        wanted = name.replace("/", ":")
        for metric in self._registry.collect():
            if metric.name == wanted and metric.type == "counter" and metric.samples:
                return int(metric.samples[0].value)
        return 0

    def page(self) -> str:
        """Returns all metrics in Prometheus's text format, as TensorFlow Serving without suffix `_total`."""
        lines = []
        for metric in self._registry.collect():
            lines.append(f"# TYPE {metric.name} {metric.type}")
            lines += [_line(sample) for sample in metric.samples if not sample.name.endswith("_created")]
        return "\n".join(lines) + "\n"

    def _counter(self, name: str, *labels: str) -> Counter:
        return Counter(_PREFIX + name, name, labels, registry=self._registry)

    def _histogram(self, name: str, bounds: list[float], *labels: str) -> Histogram:
        return Histogram(_PREFIX + name, name, labels, registry=self._registry, buckets=bounds)

    def _latency(self, name: str, *labels: str) -> Histogram:
        return self._histogram(name, exponential(10, 1.8, 33), *labels)


def microseconds_since(began: float) -> float:
    """Returns the microseconds since a value of `time.perf_counter`."""
    return (time.perf_counter() - began) * 1e6


def _line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
    return f"{sample.name.removesuffix('_total')}{{{labels}}} {sample.value:.17g}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
