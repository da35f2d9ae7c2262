"""Imports what most processes of the tests import, then forks one for each request.

Importing TensorFlow and Keras takes a processor five seconds, which each `python -c CODE` would spend again.
A child has run nothing but those imports: it gets code, arguments, environment, folder and session of its own
and ends as any interpreter does. The server ends with the process that sends the requests.
"""

import gc
import importlib
import json
import os
import socket
import sys
import warnings

IMPORTED = ("keras_smes.cli", "keras_smes.training")


def next_request(requests):
    """Returns, in a process of its own, the next request and the socket to report to."""
    while True:
        message, descriptors, *_ = socket.recv_fds(requests, 2**20, 1)
        if not message:
            os._exit(0)
        report = socket.socket(fileno=descriptors[0])
        if fork() == 0:
            requests.close()
            return json.loads(message), report
        report.close()
        os.waitpid(-1, os.WNOHANG)


def report_child(report):
    """Returns in a child that leads a session; its parent reports the child's exit code and ends."""
    if (child := fork()) != 0:
        _, status = os.waitpid(child, 0)
        report.send(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    os.setsid()
    report.send(str(os.getpid()).encode())
    report.close()


def fork():
    with warnings.catch_warnings(action="ignore"):  # JAX warns of its threads, of which there are none yet
        return os.fork()


def become(request):
    """Takes over the environment, folder, output and arguments of a request."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor, own in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
        os.dup2(descriptor, own)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = ["-c", *request["arguments"]]


sys.path[0] = ""  # as `python -c` has it
for name in IMPORTED:
    importlib.import_module(name)
gc.freeze()  # no child walks the million objects of the imports
request, report = next_request(socket.socket(fileno=os.dup(0)))
report_child(report)
become(request)
exec(compile(request["code"], "<string>", "exec"), {"__name__": "__main__"})
