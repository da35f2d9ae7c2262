"""The load generator: arrivals, and what it reports, held against delays that are known."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest

from keras_smes_serving.load_test import Record, closed_loop, main, open_loop, poisson_arrivals


def test_arrivals_are_those_of_a_poisson_process():
    due = poisson_arrivals(rate=200, seconds=100, seed=3)
    gaps = np.diff(due)
    assert (gaps >= 0).all()
    assert due[-1] < 100
    assert abs(len(due) - 20000) < 5 * 20000**0.5
    # Exponential gaps: mean and deviation are equal, and a share exp(-1) is above the mean.
    assert np.isclose(gaps.mean(), 1 / 200, rtol=0.05)
    assert np.isclose(gaps.std(), gaps.mean(), rtol=0.05)
    assert np.isclose((gaps > gaps.mean()).mean(), np.exp(-1), atol=0.02)
    assert poisson_arrivals(200, 100, 3).tolist() == due.tolist()


@pytest.mark.parametrize("change", [{"rate": 0}, {"seconds": -1.0}])
def test_bad_rates_are_refused(change):
    with pytest.raises(ValueError, match="must be positive"):
        poisson_arrivals(**{"rate": 1.0, "seconds": 1.0, **change})


def test_those_who_wait_behind_a_slow_one_are_counted_as_slow():
    """A server of one thread that stops for 0.3 s once. A closed loop would see one slow answer."""
    worker, asked = threading.Lock(), []

    def send(answered):
        asked.append(1)
        pause = 0.3 if len(asked) == 1 else 0.0

        def work():
            with worker:
                time.sleep(pause)
            answered("OK")

        threading.Thread(target=work).start()

    record = open_loop(send, np.arange(0.0, 0.2, 0.01))
    assert len(record.latencies) == 20
    assert sum(latency > 0.08 for latency in record.latencies) == 20
    assert record.codes == {"OK": 20}


def test_a_late_start_is_latency():
    """Sending blocks for 0.1 s: the second request, due at 0, is late by that much."""

    def send(answered):
        time.sleep(0.1)
        answered("OK")

    record = open_loop(send, np.zeros(3))
    assert [round(lag, 1) for lag in record.lags] == [0.0, 0.1, 0.2]
    assert all(latency > lag + 0.09 for latency, lag in zip(record.latencies, record.lags, strict=True))


def test_a_closed_loop_keeps_its_number_under_way():
    under_way, most, lock = [0], [0], threading.Lock()

    def send(answered):
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])

        def done():
            with lock:
                under_way[0] -= 1
            answered("OK")

        threading.Timer(0.02, done).start()

    record = closed_loop(send, concurrency=3, seconds=0.3)
    assert most[0] == 3
    assert 3 < record.codes["OK"] <= 45


def test_percentiles_are_latencies_that_were_seen():
    record = Record(latencies=[n / 1000 for n in range(1, 101)], lags=[0.0], seconds=2.0)
    record.codes.update({"OK": 100, "UNAVAILABLE": 3})
    summary = record.summary(rows=500)
    assert summary["latency_ms"] == {"p50": 51.0, "p90": 91.0, "p99": 100.0, "p99.9": 100.0, "max": 100.0}
    assert (summary["requests"], summary["rows_per_second"]) == (103, 25000.0)
    assert Record().summary()["latency_ms"]["p50"] is None


def test_the_command_line_loads_a_server(server, tmp_path, capsys):
    rows, out = tmp_path / "rows.jsonl", tmp_path / "load.json"
    rows.write_text(json.dumps({"user": 2**53 + 1, "city": "oslo", "dense": [1, 2, 3, 4]}) + "\n")
    flags = [f"--address={server.address}", "--model=ranker", f"--rows={rows}", "--candidates=20"]
    assert main([*flags, "--rate=50", "--seconds=1", "--warmup=0.2", f"--json={out}"]) == 0
    result = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out) == result
    assert result["codes"] == {"OK": len(poisson_arrivals(50, 1))}
    assert result["latency_ms"]["p50"] > 0
    assert main([*flags[:1], "--model=other", *flags[2:], "--rate=50", "--seconds=1"]) == 2
    assert "NOT_FOUND" in capsys.readouterr().err
