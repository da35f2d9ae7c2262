"""Real processes on loopback, which always end: a limit on their time, and a kill for those that are left."""

import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

LIMIT = 300  # seconds that any wait may take
TRAIN = "import sys; from keras_smes.cli import main; sys.exit(main(sys.argv[1:]))"
TWO_CPUS = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
"""
TWO_CPUS_ON_JAX = {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2",
}


@functools.cache
def fork_server(backend):
    """Starts the fork server of a Keras backend; returns the socket that takes its requests."""
    requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    known = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(Path(__file__).with_name("fork_server.py"))]
    subprocess.Popen(command, stdin=theirs, env={**os.environ, **known}, start_new_session=True)
    theirs.close()
    return requests


class Process:
    """`python -c CODE ARGUMENTS...` in a session of its own, its output in a file."""

    def __init__(self, code, arguments, log, **environment):
        self.log, self._exit_code = log, None
        known = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
        request = {
            "code": code,
            "arguments": [*map(str, arguments)],
            "log": str(log),
            "folder": str(Path.cwd()),
            "environment": known,
        }
        self.log.write_bytes(b"")  # whoever reads the output may be faster than the process
        self._reports, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            message = json.dumps(request).encode()
            socket.send_fds(fork_server(known["KERAS_BACKEND"]), [message], [theirs.fileno()])
        self._reports.settimeout(LIMIT)
        self.pid = int(self._reports.recv(64))

    def wait(self):
        """Returns the exit code."""
        if self._exit_code is None:
            self._exit_code = int(self._reports.recv(64))
            self._reports.close()
        return self._exit_code

    @property
    def is_running(self):
        return self._exit_code is None and not select.select([self._reports], [], [], 0)[0]

    @property
    def output(self):
        return self.log.read_text(errors="replace")

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()


def run(code, arguments, log, **environment):
    """Returns a process that has ended."""
    process = Process(code, arguments, log, **environment)
    with killed_at_the_end({"process": process}):
        process.wait()
    return process


def free_ports(count):
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def start_cluster(code, arguments, folder, **sizes):
    """Starts a process for each task of a cluster, as `{("worker", 0): Process}`."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = iter(free_ports(sum(sizes.values())))
    cluster = {kind: [f"127.0.0.1:{next(ports)}" for _ in range(size)] for kind, size in sizes.items()}
    tasks = [(kind, index) for kind, size in sizes.items() for index in range(size)]
    return {
        (kind, index): Process(
            code,
            arguments,
            folder / f"{kind}{index}.log",
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}}),
        )
        for kind, index in tasks
    }


@contextlib.contextmanager
def killed_at_the_end(processes):
    """Whatever happens, no process is left."""
    try:
        yield processes
    finally:
        for process in processes.values():
            process.kill()


def wait_until(holds, what):
    end = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < end, f"waited {LIMIT} s for {what}"
        time.sleep(0.01)


HOLD = """
import os, sys, time
from keras_smes.locks import locked
with locked(*sys.argv[2:]):
    print("held", flush=True)
    while os.path.exists(sys.argv[1]):
        time.sleep(0.01)
"""


def hold_lock(log, *arguments):
    """Returns a process that holds a lock until it is killed or its log is removed."""
    process = Process(HOLD, (log, *arguments), log)
    wait_until(lambda: process.output == "held\n", "the lock")
    return process


KILLED = """
import os, signal, sys, threading
import keras_smes.training
from keras_smes.cli import main
threading.Timer(float(sys.argv[1]), os.kill, (os.getpid(), signal.SIGKILL)).start()
os._exit(main(sys.argv[2:]))
"""


def run_killed(arguments, seconds, log):
    """Returns the exit code of a command whose process is killed after some seconds, if it hasn't ended."""
    return Process(KILLED, [seconds, *arguments], log).wait()
