"""The REST API over real HTTP, asked with urllib."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
from serving_support.example_models import Scored, save_scored

from keras_smes_serving.server.embedded import EmbeddedServer


class Odd(tf.Module):
    """Outputs that JSON has trouble with, and inputs of every kind."""

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None], tf.int64, name="id"),
            tf.TensorSpec([None, 2], tf.float32, name="x"),
            tf.TensorSpec([None], tf.string, name="s"),
            tf.TensorSpec([None], tf.bool, name="f"),
        ],
    )
    def several(self, id, x, s, f):
        return {"id": id + 0, "x": x * 2.0, "s": s + "!", "s_bytes": s + "?", "f": tf.logical_not(f)}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def single(self, x):
        return {"y": x / 3.0}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def uneven(self, x):
        return {"y": x, "z": x[:1]}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def half(self, x):
        return {"y": tf.cast(x, tf.bfloat16)}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="s")])
    def strings(self, s):
        return {"length": tf.strings.length(s)}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    base = tmp_path_factory.mktemp("odd")
    odd = Odd()
    names = {
        "serving_default": odd.single,
        "several": odd.several,
        "uneven": odd.uneven,
        "half": odd.half,
        "strings": odd.strings,
    }
    tf.saved_model.save(odd, str(base / "7"), signatures=names)
    flags = {"rest_api_enable_cors_support": True, "rest_api_timeout_in_ms": 20_000}
    with EmbeddedServer("odd", base, rest_port=0, **flags) as server:
        yield f"http://127.0.0.1:{server.rest_port}"


@pytest.fixture(scope="module")
def scored_url(tmp_path_factory):
    base = tmp_path_factory.mktemp("scored")
    save_scored(base / "1")
    with EmbeddedServer("scored", base, rest_port=0) as server:
        yield f"http://127.0.0.1:{server.rest_port}/v1/models/scored"


def ask(url: str, body: object = None, method: str | None = None) -> tuple[int, object]:
    """Status and JSON of an answer; a body of bytes is sent as it is."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def predict(url: str, body: object, where: str = "odd") -> tuple[int, object]:
    return ask(f"{url}/v1/models/{where}:predict", body)


ROWS = [
    {"id": 2**53 + 1, "x": [0.5, 1], "s": "ä", "f": True},
    {"id": -(2**63), "x": [1e-8, 3e38], "s": {"b64": base64.b64encode(b"\x00\xff").decode()}, "f": False},
]


def test_rows_of_one_input(url):
    status, answer = predict(url, {"instances": [1.0, 2, 3.5]})
    assert status == 200
    assert np.allclose(answer["predictions"], np.array([1, 2, 3.5]) / 3, rtol=1e-6)


def test_columns_of_one_input(url):
    assert predict(url, {"inputs": [3.0, 6.0]}) == (200, {"outputs": [1.0, 2.0]})
    assert predict(url, {"inputs": {"x": [3.0, 6.0], "more": 1}}) == (200, {"outputs": [1.0, 2.0]})


def test_an_object_for_each_row(url):
    status, answer = predict(url, {"signature_name": "several", "instances": ROWS[:1]})
    assert (status, answer) == (
        200,
        {
            "predictions": [
                {
                    "id": 2**53 + 1,
                    "x": [1.0, 2.0],
                    "s": "ä!",
                    "s_bytes": {"b64": base64.b64encode("ä?".encode()).decode()},
                    "f": False,
                }
            ]
        },
    )


def test_columns_of_several_inputs(url):
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    columns["s"] = ["a", "b"]
    status, answer = predict(url, {"signature_name": "several", "inputs": columns})
    assert status == 200
    assert answer["outputs"]["id"] == [2**53 + 1, -(2**63)]
    assert answer["outputs"]["s"] == ["a!", "b!"]
    assert np.allclose(answer["outputs"]["x"][0], [1.0, 2.0])
    assert answer["outputs"]["x"][1][1] == np.inf, "3e38 doubled, written as bare Infinity"


def test_bytes_go_both_ways(url):
    status, answer = predict(url, {"signature_name": "strings", "instances": [ROWS[1]["s"], "abc"]})
    assert (status, answer) == (200, {"predictions": [2, 3]})


def test_not_a_number_and_infinity(url):
    status, answer = predict(url, b'{"instances": [NaN, Infinity, -Infinity]}')
    assert status == 200
    assert np.array_equal(answer["predictions"], [np.nan, np.inf, -np.inf], equal_nan=True)


@pytest.mark.parametrize("where", ["odd/versions/7", "ODD", "odd/versions/8", "odd/labels/stable"])
def test_versions_labels_and_names(url, where):
    status, answer = predict(url, {"instances": [3.0]}, where)
    expected = {
        "odd/versions/7": (200, {"predictions": [1.0]}),
        "ODD": (404, {"error": "Servable not found for request: Latest(ODD)"}),
        "odd/versions/8": (404, {"error": "Servable not found for request: Specific(odd, 8)"}),
        "odd/labels/stable": (400, {"error": "Unrecognized servable version label: stable"}),
    }
    assert (status, answer) == expected[where]


REFUSALS = {
    "empty": (b"", "JSON Parse error: The document is empty"),
    "not JSON": (b"{", "JSON Parse error: "),
    "not UTF-8": (b'{"instances": "\xff"}', "JSON Parse error: "),
    "deep": (b"[" * 100_000, "JSON Parse error: "),
    "half a character": (
        b'{"signature_name": "\\ud800", "instances": [1.0]}',
        "JSON Parse error: The surrogate pair in string is invalid.",
    ),
    "digits": (b'{"instances": [' + b"1" * 10_000 + b"]}", "JSON Parse error: "),
    "no object": (b"[1.0]", "JSON Value: [1.0] Is not object"),
    "no key": ({}, "Missing 'inputs' or 'instances' key"),
    "both keys": (
        {"inputs": [1.0], "instances": [1.0]},
        'JSON Value: {"inputs": [1.0], "instances": [1.0]} Not formatted correctly expecting only one of '
        "'inputs' or 'instances' keys to exist ",
    ),
    "no list": ({"instances": 1}, "JSON Value: {\"instances\": 1} Expecting 'instances' to be an list/array"),
    "no rows": ({"instances": []}, "JSON Value: {\"instances\": []} No values in 'instances' array"),
    "signature": (
        {"signature_name": "nope", "instances": [1.0]},
        'Serving signature name: "nope" not found in signature def',
    ),
    "signature type": (
        {"signature_name": 1, "instances": [1.0]},
        'JSON Value: {"signature_name": 1, "instances": [1.0]} not formatted correctly. \'signature_name\' '
        "key must be a string value.",
    ),
    "type": ({"inputs": ["a"]}, 'JSON Value: "a" Type: String is not of expected type: float'),
    "ragged": (
        {"inputs": [[1.0], [1.0, 2.0]]},
        "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
    ),
    "level": (
        {"inputs": [[1.0], 2.0]},
        "JSON Value: 2.0 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    "plain list": (
        {"signature_name": "several", "instances": [1.0]},
        "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
        "tensorinfo_map",
    ),
    "missing input": (
        {"signature_name": "several", "inputs": {"id": [1]}},
        "Missing named input: f in 'inputs' object.",
    ),
    "missing key": (
        {"signature_name": "several", "instances": [{"id": 1}]},
        "Failed to process element: 0 of 'instances' list. JSON object: {\"id\": 1} keys must be equal to: "
        "f,id,s,x",
    ),
    "float id": (
        {"signature_name": "several", "inputs": {"id": [1.5], "x": [[1, 2]], "s": ["a"], "f": [True]}},
        "JSON Value: 1.5 Type: Number is not of expected type: int64",
    ),
    "big id": (
        {"signature_name": "several", "inputs": {"id": [2**63], "x": [[1, 2]], "s": ["a"], "f": [True]}},
        "JSON Value: 9223372036854775808 Type: Number is not of expected type: int64",
    ),
    "base64": ({"signature_name": "strings", "inputs": {"b64": "%%"}}, "Unable to base64 decode"),
    "uneven": (
        {"signature_name": "uneven", "instances": [1.0, 2.0]},
        "Tensor name: z has inconsistent batch size: 1 expecting: 2",
    ),
    "bfloat16": (
        {"signature_name": "half", "instances": [1.0]},
        "Failed to write JSON value for tensor type: bfloat16",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(url, case):
    body, text = REFUSALS[case]
    status, answer = predict(url, body)
    assert status == 400
    assert answer["error"].startswith(text)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/models/odd:guess"), ("GET", "/v1/models/odd:predict"), ("PUT", "/v1/models/odd")],
)
def test_malformed_paths(url, method, path):
    body = None if method == "GET" else b"{}"
    assert ask(url + path, body, method) == (400, {"error": f"Malformed request: {method} {path}"})


def test_a_version_of_many_digits(url):
    text = "9" * 5000
    status, answer = predict(url, {"instances": [1.0]}, f"odd/versions/{text}")
    assert (status, answer["error"]) == (400, (f"Failed to convert version: {text}")[:1024] + "...TRUNCATED")
    assert predict(url, {"instances": [3.0]}, "odd/versions/007")[0] == 200


def test_status(url):
    expected = {
        "model_version_status": [
            {"version": "7", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }
    assert ask(f"{url}/v1/models/odd") == (200, expected)
    assert ask(f"{url}/v1/models/odd/versions/7") == (200, expected)
    assert ask(f"{url}/v1/models/none") == (404, {"error": "Could not find any versions of model none"})
    assert ask(f"{url}/v1/models") == (400, {"error": "Missing model name in request."})


def test_metadata(url):
    status, answer = ask(f"{url}/v1/models/odd/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "odd", "signature_name": "", "version": "7"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["several"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in signature["inputs"]["x"]["tensor_shape"]["dim"]] == ["-1", "2"]
    assert ask(f"{url}/v1/models/none/metadata")[0] == 404


def test_classify_and_regress(scored_url):
    rows = [{"a": 1.0, "b": 2}, {"a": -3.5, "b": 0}]
    expected = np.array([[1.0, 2], [-3.5, 0]]) @ Scored.weights
    status, answer = ask(f"{scored_url}:classify", {"signature_name": "classify", "examples": rows})
    assert status == 200
    assert [[label for label, _ in row] for row in answer["results"]] == [["low", "mid", "high"]] * 2
    assert np.allclose([[score for _, score in row] for row in answer["results"]], expected)
    shared = {"signature_name": "regress", "context": {"b": 2}, "examples": [{"a": 1.0}]}
    status, answer = ask(f"{scored_url}:regress", shared)
    assert status == 200
    assert np.allclose(answer["results"], expected[:1, 2])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "JSON Value: {} When method is classify, key 'examples' is expected and was not found"),
        ({"examples": 1}, "JSON Value: {\"examples\": 1} Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "JSON Value: {\"examples\": []} 'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"a": None}]}, "Feature: a has element with unexpected JSON type: Null"),
        ({"examples": [{"a": [1.0, 2]}]}, "Unexpected element type in feature: a expecting type: float"),
        (
            {"examples": [{"b": 2**63}]},
            "Feature: b has uint64_t element. Only int64_t is supported.",
        ),
        ({"examples": [{"a": 1.0}]}, "No signature was found with the name: serving_default"),
    ],
)
def test_examples_that_are_refused(scored_url, body, text):
    assert ask(f"{scored_url}:classify", body) == (400, {"error": text})


def test_pages_of_other_origins_may_ask(url):
    request = urllib.request.Request(f"{url}/v1/models/odd", method="OPTIONS")
    request.add_header("Origin", "https://example.com")
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(f"{url}/v1/models/odd", method="OPTIONS"), timeout=30)
    assert caught.value.code == 400


def test_there_are_no_metrics_unless_asked_for(url):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{url}/monitoring/prometheus/metrics", timeout=30)
    assert caught.value.code == 404
