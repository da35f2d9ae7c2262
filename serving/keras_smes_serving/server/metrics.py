"""What a server counts, under the names that TensorFlow Serving gives it."""

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
    """Makes the bounds of a histogram.

    Args:
        scale: float. The first bound.
        growth: float. What each bound is to the one before.
        count: int. How many bounds.

    Returns:
        list of float.

    Example:

    ```python
    exponential(1, 2, 4)  # [1.0, 2.0, 4.0, 8.0]
    ```
    """
    return [float(f"{scale * growth**power:.6g}") for power in range(count)]


class Metrics:
    """The counters and histograms of one server.

    Latencies are in microseconds. As in TensorFlow Serving, a latency is recorded only for a
    request that succeeded, and MultiInference isn't counted.

    Example:

    ```python
    metrics = Metrics()
    with metrics.request("smes", "Predict", "GRPC"):
        answer()
    print(metrics.page())
    ```
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
        """Records how long a model took to answer, if it did.

        Args:
            model: str. The name of the model.
            api: str. Such as `"Predict"`.
        """
        began = time.perf_counter()
        yield
        self.runtime_latency.labels(model, api, "TF1").observe(microseconds_since(began))

    def value(self, name: str) -> int:
        """Reads the first value of a counter.

        Args:
            name: str. As TensorFlow Serving spells it inside: `"/tensorflow/serving/request_count"`.

        Returns:
            int. 0 for what isn't counted here, or has not been counted yet.
        """
        wanted = name.replace("/", ":")
        for metric in self._registry.collect():
            if metric.name == wanted and metric.type == "counter" and metric.samples:
                return int(metric.samples[0].value)
        return 0

    def page(self) -> str:
        """Writes everything in Prometheus's text format.

        Returns:
            str. The page. A counter's name lacks the suffix `_total`, which TensorFlow Serving
            doesn't give it.
        """
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
    """Measures a wall time.

    Args:
        began: float, seconds. What `time.perf_counter` gave.

    Returns:
        float, microseconds.

    Example:

    ```python
    microseconds_since(time.perf_counter())
    ```
    """
    return (time.perf_counter() - began) * 1e6


def _line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
    return f"{sample.name.removesuffix('_total')}{{{labels}}} {sample.value:.17g}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
