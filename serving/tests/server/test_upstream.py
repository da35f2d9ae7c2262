"""TensorFlow Serving's own integration test, unmodified, against the embedded server.

It needs a checkout of github.com/tensorflow/serving (commit 9d981c5c2708d23c5407c7c1e30309e6f9798874 was
run), some minutes, and a machine that starts a server within 60 seconds; so it is skipped unless asked for:

    KERAS_SMES_TF_SERVING=path/to/serving pytest serving/tests/server/test_upstream.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

PACKAGE = Path(os.environ.get("KERAS_SMES_TF_SERVING", "")) / "tensorflow_serving"
TEST = "tensorflow_serving.model_servers.tensorflow_model_server_test"

# What the embedded server leaves out; and the last, which takes `os` from a module that hasn't got it any
# more, and whose model needs the operations of TF Text.
LEFT_OUT = {
    "testPredictOnTfLite",
    "testPredictWithSignatureDefOnTfLite",
    "test_profiler_service_with_valid_trace_request",
    "test_tf_text",
}
# The test's imports, found in the package of the API and in the checkout both.
RUN = f"""
import runpy, sys, tensorflow_serving
tensorflow_serving.__path__.append(sys.argv.pop(1))
runpy.run_module({TEST!r}, run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def sources(tmp_path):
    """The folder that the test finds data and server in: links to the checkout, and our command."""
    package = tmp_path / "tf_serving" / "tensorflow_serving"
    server = package / "model_servers" / "tensorflow_model_server"
    server.parent.mkdir(parents=True)
    server.write_text(f'#!/bin/sh\nexec {sys.executable} -m keras_smes_serving.server.main "$@"\n')
    server.chmod(0o755)
    for name in ("servables", "session_bundle", "batching"):
        (package / name).symlink_to(PACKAGE.resolve() / name)
    return tmp_path


@pytest.mark.skipif(not PACKAGE.is_dir(), reason="KERAS_SMES_TF_SERVING names no checkout")
def test_all_cases_pass_but_those_left_out(sources, tmp_path):
    pytest.importorskip("portpicker", reason="the test of TensorFlow Serving imports it")
    results = tmp_path / "results.xml"
    environment = {
        **os.environ,
        "TEST_SRCDIR": str(sources),
        "TEST_TMPDIR": str(tmp_path / "written"),
        "TF_USE_LEGACY_KERAS": "1",  # its Keras models are of Keras 2
    }
    command = [sys.executable, "-c", RUN, str(PACKAGE.resolve()), f"--xml_output_file={results}"]
    subprocess.run(command, env=environment, check=False, timeout=1800)
    cases = list(ElementTree.parse(results).iter("testcase"))
    failed = {case.get("name") for case in cases if list(case.iter("failure")) or list(case.iter("error"))}
    assert len(cases) > len(LEFT_OUT)
    assert failed == LEFT_OUT
