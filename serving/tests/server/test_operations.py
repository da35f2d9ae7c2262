"""What operators use: metrics, health, TLS, the Unix socket, channel arguments."""

from __future__ import annotations

import datetime
import ipaddress
import urllib.request

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families
from serving_support.living_models import Asking, publish, refusal, started, until
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from keras_smes_serving.server.embedded import EmbeddedServer
from keras_smes_serving.server.grpc.server import channel_options
from keras_smes_serving.server.metrics import Metrics, exponential


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "m"
    publish(folder, 1)
    return folder


def samples(url: str) -> dict:
    """Name and labels to value, read by Prometheus's own parser."""
    with urllib.request.urlopen(url, timeout=30) as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        text = response.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("path", ["", "/metrics/of/mine"])
def test_prometheus(base, tmp_path, path):
    config = tmp_path / "monitoring.config"
    config.write_text(f'prometheus_config {{ enable: true path: "{path}" }}')
    flags = {"monitoring_config_file": str(config)}
    with EmbeddedServer("m", base, rest_port=0, **flags) as server, Asking(server.address) as asking:
        url = f"http://127.0.0.1:{server.rest_port}{path or '/monitoring/prometheus/metrics'}"
        for _ in range(3):
            asking.answer()
        assert refusal(asking.answer, version=9)[0] == grpc.StatusCode.NOT_FOUND
        name = ":tensorflow:serving:request_count"
        name += "_total"  # the parser's own doing: TensorFlow Serving gives no suffix
        ok = (name, (("model_name", "m"), ("status", "OK")))
        found = until(lambda: (now := samples(url)).get(ok) == 3 and now)
        with urllib.request.urlopen(url, timeout=30) as response:
            assert b':tensorflow:serving:request_count{model_name="m",status="OK"} 3\n' in response.read()
    assert found[name, (("model_name", "m"), ("status", "NOT_FOUND"))] == 1
    labels = (("API", "Predict"), ("entrypoint", "GRPC"), ("model_name", "m"))
    assert found[":tensorflow:serving:request_latency_count", labels] == 3
    labels = (("API", "Predict"), ("model_name", "m"), ("runtime", "TF1"))
    assert found[":tensorflow:serving:runtime_latency_count", labels] == 3
    assert (
        found[":tensorflow:serving:runtime_latency_bucket", (*labels[:1], ("le", "+Inf"), *labels[1:])] == 3
    )


def test_rest_requests_are_counted_too(base, tmp_path):
    config = tmp_path / "monitoring.config"
    config.write_text("prometheus_config { enable: true }")
    with EmbeddedServer("m", base, rest_port=0, monitoring_config_file=str(config)) as server:
        url = f"http://127.0.0.1:{server.rest_port}"
        body = b'{"instances": [1.0]}'
        urllib.request.urlopen(f"{url}/v1/models/m:predict", body, timeout=30).close()
        found = samples(f"{url}/monitoring/prometheus/metrics")
    labels = (("API", "predict"), ("entrypoint", "REST"), ("model_name", "m"))
    assert found[":tensorflow:serving:request_latency_count", labels] == 1


def test_bounds_are_those_of_tensorflow_serving():
    assert exponential(10, 1.8, 4) == [10.0, 18.0, 32.4, 58.32]
    assert Metrics().value("/nothing") == 0


def test_health(base):
    flags = {"enable_grpc_healthcheck_service": True}
    with EmbeddedServer("m", base, **flags) as server, grpc.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "ModelService", "PredictionService"):
            request = health_pb2.HealthCheckRequest(service=service)
            assert stub.Check(request, timeout=30).status == health_pb2.HealthCheckResponse.SERVING
        full = health_pb2.HealthCheckRequest(service="tensorflow.serving.PredictionService")
        assert refusal(stub.Check, full, timeout=30)[0] == grpc.StatusCode.NOT_FOUND


def test_no_health_unless_asked_for(base):
    with EmbeddedServer("m", base) as server, grpc.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        assert refusal(stub.Check, request, timeout=30)[0] == grpc.StatusCode.UNIMPLEMENTED


def test_a_unix_socket(base, tmp_path):
    path = tmp_path / "s"
    with EmbeddedServer("m", base, grpc_socket_path=str(path)) as server:
        for address in (f"unix:{path}", server.address):
            with Asking(address) as asking:
                assert asking.answer() == (1, 1.0)


class Authority:
    """A certificate authority of one test."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed(self.key, "authority", authority=True)

    def _signed(self, key, name: str, authority: bool = False) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if authority else self.certificate.subject
        hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str) -> tuple[bytes, bytes]:
        """Key and certificate, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return pem, self._signed(key, name).public_bytes(serialization.Encoding.PEM)


def answer(address: str, credentials: grpc.ChannelCredentials) -> float:
    request = PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add(size=1)
    request.inputs["x"].float_val.append(1.0)
    with grpc.secure_channel(address, credentials) as channel:
        return PredictionServiceStub(channel).Predict(request, timeout=10).outputs["y"].float_val[0]


def ssl_config(authority: Authority, verify: bool, **others: str) -> str:
    key, certificate = (part.decode() for part in authority.issue("server"))
    values = {"server_key": key, "server_cert": certificate, "custom_ca": authority.pem.decode(), **others}
    lines = [f"{name}: {text!r}" for name, text in values.items()]
    return "\n".join([*lines, f"client_verify: {str(verify).lower()}"])


def test_tls(base, tmp_path):
    authority = Authority()
    (tmp_path / "ssl.config").write_text(ssl_config(authority, verify=False))
    with EmbeddedServer("m", base, ssl_config_file=str(tmp_path / "ssl.config")) as server:
        assert answer(server.address, grpc.ssl_channel_credentials(authority.pem)) == 1.0
        stranger = grpc.ssl_channel_credentials(Authority().pem)
        assert refusal(answer, server.address, stranger)[0] == grpc.StatusCode.UNAVAILABLE
        with Asking(server.address) as plain:
            assert refusal(plain.answer)[0] == grpc.StatusCode.UNAVAILABLE


def test_mutual_tls(base, tmp_path):
    authority = Authority()
    (tmp_path / "ssl.config").write_text(ssl_config(authority, verify=True))
    with EmbeddedServer("m", base, ssl_config_file=str(tmp_path / "ssl.config")) as server:
        known = grpc.ssl_channel_credentials(authority.pem, *authority.issue("client"))
        assert answer(server.address, known) == 1.0
        unknown = grpc.ssl_channel_credentials(authority.pem, *Authority().issue("client"))
        for credentials in (unknown, grpc.ssl_channel_credentials(authority.pem)):
            assert refusal(answer, server.address, credentials)[0] == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("text", ["", 'server_key: "x"', "client_verify: true"])
def test_tls_needs_a_key_and_a_certificate(base, tmp_path, text):
    (tmp_path / "ssl.config").write_text(text)
    with pytest.raises(ValueError, match="`--ssl_config_file` must hold server_key and server_cert"):
        EmbeddedServer("m", base, ssl_config_file=str(tmp_path / "ssl.config")).start()


NO_PEM = "-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n"
WRONG = {
    "another key": ("server_key", Authority().issue("other")[0].decode()),
    "no key": ("server_key", "no key"),
    "a certificate for a key": ("server_key", Authority().pem.decode()),
    "half a key": ("server_key", Authority().issue("other")[0].decode()[:90]),
    "another certificate": ("server_cert", Authority().issue("other")[1].decode()),
    "no certificate": ("server_cert", "no certificate"),
    "a broken certificate": ("server_cert", NO_PEM),
    "no authority": ("custom_ca", "no authority"),
    "a broken authority": ("custom_ca", NO_PEM),
    "a key for an authority": ("custom_ca", Authority().issue("other")[0].decode()),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_key_certificate_or_authority_is_named(base, tmp_path, case):
    field, text = WRONG[case]
    path = tmp_path / "ssl.config"
    path.write_text(ssl_config(Authority(), verify=True, **{field: text}))
    with pytest.raises(ValueError, match="`--ssl_config_file` must hold ") as caught:
        EmbeddedServer("m", base, ssl_config_file=str(path)).start()
    assert str(path) in str(caught.value)
    assert field in str(caught.value)


def test_a_certificate_chain(base, tmp_path):
    authority = Authority()
    key, certificate = (part.decode() for part in authority.issue("server"))
    chain = {"server_key": key, "server_cert": certificate + authority.pem.decode()}
    (tmp_path / "ssl.config").write_text(ssl_config(authority, verify=False, **chain))
    with EmbeddedServer("m", base, ssl_config_file=str(tmp_path / "ssl.config")) as server:
        assert answer(server.address, grpc.ssl_channel_credentials(authority.pem)) == 1.0


def test_a_rejected_client_leaves_a_line_in_the_log(base, tmp_path):
    authority, log = Authority(), tmp_path / "log"
    (tmp_path / "ssl.config").write_text(ssl_config(authority, verify=True))
    flags = ["--port=0", "--model_name=m", f"--model_base_path={base}"]
    with (
        log.open("w") as stderr,
        started(*flags, f"--ssl_config_file={tmp_path / 'ssl.config'}", stderr=stderr) as (_, address, _),
    ):
        unknown = grpc.ssl_channel_credentials(authority.pem, *Authority().issue("client"))
        for count, credentials in enumerate((unknown, grpc.ssl_channel_credentials(authority.pem)), start=1):
            assert refusal(answer, address, credentials)[0] == grpc.StatusCode.UNAVAILABLE
            until(lambda count=count: log.read_text().count("Handshake failed") >= count)


def test_a_file_with_unknown_fields_is_refused(base, tmp_path):
    (tmp_path / "ssl.config").write_text("nope: 1")
    with pytest.raises(ValueError, match=r"Error parsing text-format tensorflow.serving.SSLConfig: 1:1"):
        EmbeddedServer("m", base, ssl_config_file=str(tmp_path / "ssl.config")).start()


def test_channel_arguments():
    text = "grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb"
    assert channel_options(text) == [
        ("grpc.max_connection_age_ms", 2000),
        ("grpc.lb_policy_name", "grpclb"),
    ]
    assert channel_options("") == []
    with pytest.raises(ValueError, match=r"Received: grpc\.nothing"):
        channel_options("grpc.nothing")
