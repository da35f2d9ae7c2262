"""A load generator: open loop, Poisson arrivals, latency from the scheduled time of a request.

A closed loop slows down with the server and so hides the latency of users who keep arriving (coordinated
omission). Here requests are sent on schedule, whatever the state of earlier ones, and a late start counts as
latency.

```
python -m keras_smes_serving.load_test --address=localhost:8500 --model=smes --rows=rows.jsonl \
    --candidates=500 --rate=100 --seconds=30
```
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np

from keras_smes_serving.client import Client, ServingError, rows_to_columns
from keras_smes_serving.client.inputs import Array
from keras_smes_serving.client.retry import checked_timeout, for_grpc
from keras_smes_serving.client.rows_file import read_rows
from keras_smes_serving.protocol.messages import PREDICT

PERCENTILES: Final = (50, 90, 99, 99.9)
_SPIN_SECONDS: Final = 0.0005
_LIMITS: Final = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))

# Sends one request without waiting; the callback receives the status name later.
Send = Callable[[Callable[[str], None]], None]


def poisson_arrivals(rate: float, seconds: float, seed: int = 0) -> Array:
    """Draws the arrival times of independent users.

    Args:
        rate: float. Mean number of requests per second.
        seconds: float. Duration.
        seed: int. Defaults to 0.

    Returns:
        float64 array. Seconds from the start, ascending, all below `seconds`.

    Raises:
        ValueError: `rate` or `seconds` isn't positive.
    """
    if rate <= 0 or seconds <= 0:
        raise ValueError(f"`rate` and `seconds` must be positive. Received: rate={rate}, seconds={seconds}")
    generator = np.random.default_rng(seed)
    # Six standard deviations above the mean: hardly ever too few, and the loop draws missing ones.
    count = int(rate * seconds + 6 * (rate * seconds) ** 0.5 + 10)
    due = np.cumsum(generator.exponential(1 / rate, count))
    while due[-1] < seconds:
        due = np.append(due, due[-1] + generator.exponential(1 / rate))
    return due[due < seconds]


@dataclass
class Record:
    """The results of one run; times in seconds.

    Args:
        latencies: list of float. From a request's scheduled time to its response, if OK.
        codes: counter of str. Number of requests by status.
        lags: list of float. From a request's scheduled time to its sending: if these are not small, the
            generator was too slow.
        seconds: float. From the start to the last response.
    """

    latencies: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    lags: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def summary(self, rows: int = 1) -> dict[str, Any]:
        """Summarises a run as JSON values, for `rows` rows per request; None without responses."""
        answered = len(self.latencies)
        return {
            "requests": sum(self.codes.values()),
            "codes": dict(sorted(self.codes.items())),
            "seconds": round(self.seconds, 3),
            "answers_per_second": round(answered / self.seconds, 2) if self.seconds else None,
            "rows_per_second": round(rows * answered / self.seconds, 1) if self.seconds else None,
            "latency_ms": _percentiles(self.latencies),
            "send_lag_ms": _percentiles(self.lags),
        }


def open_loop(send: Send, due: Array) -> Record:
    """Sends requests at the times `due`, in seconds from the start, and waits for the last response."""
    record, lock, left = Record(), threading.Lock(), threading.Semaphore(0)
    start = time.perf_counter()

    def answered(code: str, when: float) -> None:
        latency = time.perf_counter() - start - when
        with lock:
            record.codes[code] += 1
            if code == "OK":
                record.latencies.append(latency)
        left.release()

    for when in due.tolist():
        _sleep_until(start + when)
        record.lags.append(time.perf_counter() - start - when)
        send(lambda code, when=when: answered(code, when))  # type: ignore[misc]
    for _ in due:
        left.acquire()
    record.seconds = time.perf_counter() - start
    return record


def closed_loop(send: Send, concurrency: int, seconds: float) -> Record:
    """Keeps `concurrency` requests in flight for some seconds: the maximum throughput, not user latency."""
    record, lock = Record(), threading.Lock()
    start = time.perf_counter()

    def worker() -> None:
        while (began := time.perf_counter()) < start + seconds:
            done, codes = threading.Event(), list[str]()

            def answered(code: str, done: threading.Event = done, codes: list[str] = codes) -> None:
                codes.append(code)
                done.set()

            send(answered)
            done.wait()
            with lock:
                record.codes[codes[0]] += 1
                if codes[0] == "OK":
                    record.latencies.append(time.perf_counter() - began)

    threads = [threading.Thread(target=worker) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record.seconds = time.perf_counter() - start
    return record


def sender(channel: grpc.Channel, request: bytes, timeout: float) -> Send:
    """Returns a function that sends the same Predict request each time."""
    method, seconds = channel.unary_unary(PREDICT), for_grpc(checked_timeout(timeout))

    def send(answered: Callable[[str], None]) -> None:
        future = method.future(request, timeout=seconds)
        future.add_done_callback(lambda done: answered(done.code().name))

    return send


def open_channel(address: str) -> grpc.Channel:
    """Opens a channel without limits on message size."""
    return grpc.insecure_channel(address, _LIMITS)


def request_of(client: Client, model: str, rows: Sequence[dict[str, Any]], candidates: int) -> bytes:
    """Builds a request of `candidates` rows by repeating `rows`."""
    if not rows:
        raise ValueError("`rows` must hold at least one row. Received: no row")
    repeated = [rows[index % len(rows)] for index in range(candidates)]
    columns = rows_to_columns(repeated, client.metadata(model)["serving_default"])
    return client.build(model, columns)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns 1 if no request succeeded, 2 for invalid arguments."""
    arguments = _parser().parse_args(argv)
    try:
        result = _run(arguments)
    except (ValueError, OSError, ServingError) as error:
        print(f"load: {error}", file=sys.stderr)
        return 2
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.json:
        Path(arguments.json).write_text(text + "\n", encoding="utf-8")
    return 0 if result["codes"].get("OK") else 1


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    rows = read_rows(arguments.rows)
    with Client(arguments.address) as client:
        request = request_of(client, arguments.model, rows, arguments.candidates)
    with open_channel(arguments.address) as channel:
        send = sender(channel, request, arguments.timeout)
        if arguments.warmup > 0:
            open_loop(send, poisson_arrivals(arguments.rate, arguments.warmup, arguments.seed + 1))
        due = poisson_arrivals(arguments.rate, arguments.seconds, arguments.seed)
        record = open_loop(send, due)
    settings = {"rate": arguments.rate, "candidates": arguments.candidates, "request_bytes": len(request)}
    return {**settings, **record.summary(arguments.candidates)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m keras_smes_serving.load_test", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--address", required=True, metavar="HOST:PORT")
    parser.add_argument("--model", required=True, metavar="NAME")
    parser.add_argument("--rows", required=True, metavar="FILE", help="one JSON object of features per line")
    parser.add_argument("--candidates", type=int, default=500, metavar="N", help="rows per request")
    parser.add_argument("--rate", type=float, required=True, metavar="R", help="requests per second")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S")
    parser.add_argument("--warmup", type=float, default=2.0, metavar="S", help="seconds before measuring")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="S", help="deadline of a call")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE", help="also write the result there")
    return parser


def _sleep_until(when: float) -> None:
    """Sleeps, and spins at the end, as the operating system wakes sleepers late."""
    while (left := when - time.perf_counter()) > 0:
        if left > _SPIN_SECONDS:
            time.sleep(left - _SPIN_SECONDS)


def _percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    names = [*(f"p{percent:g}" for percent in PERCENTILES), "max"]
    if not seconds:
        return dict.fromkeys(names)
    # The next higher observed value: a percentile is a real latency.
    values = np.quantile(seconds, [*(percent / 100 for percent in PERCENTILES), 1.0], method="higher")
    return {name: round(1000 * float(value), 3) for name, value in zip(names, values, strict=True)}


if __name__ == "__main__":
    sys.exit(main())
