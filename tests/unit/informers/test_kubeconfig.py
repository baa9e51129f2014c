"""Kubeconfigs, plugins and service accounts into endpoints; TLS against a real server."""

from __future__ import annotations

import base64
import datetime as dt
import ssl
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING

import orjson
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from informers.errors import ConfigurationError, TransportError
from informers.kubeconfig import InClusterSource, KubeconfigSource, find_source
from informers.wire import connect, connect_to
from tests.unit.informers.api_server import running_server
from tests.unit.informers.watching import CONFIG_MAPS, config_map, path_of

if TYPE_CHECKING:
    from pathlib import Path

PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", *PROXY_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def kubeconfig(file: Path, *, user: dict | None = None, **cluster) -> str:
    """A file with context "one" (namespace "team") for that user, and "two" for nobody."""
    cluster = {"server": "http://127.0.0.1:1"} | cluster
    contexts = [
        {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
        {"name": "two", "context": {"cluster": "c", "user": "nobody"}},
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        yaml.safe_dump(
            {
                "current-context": "one",
                "contexts": contexts,
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": user or {"token": "secret"}}],
            }
        )
    )
    return str(file)


def plugin(file: Path, status: dict) -> dict:
    """A user whose credentials come from a program that prints this status."""
    body = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    file.write_bytes(orjson.dumps(body | {"status": status}))
    script = f"print(open({str(file)!r}).read())"
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": ["-c", script],
        }
    }


# ---------------------------------------------------------------------- kubeconfig
async def test_kubeconfig_gives_server_token_and_namespace(tmp_path):
    endpoint = await KubeconfigSource(kubeconfig(tmp_path / "k")).load()
    assert endpoint.url == "http://127.0.0.1:1"
    assert endpoint.authorization == "Bearer secret"
    assert endpoint.namespace == "team"


async def test_endpoint_does_not_print_its_secrets(tmp_path):
    proxy = "http://me:password@proxy:3128"
    endpoint = await KubeconfigSource(kubeconfig(tmp_path / "k", **{"proxy-url": proxy})).load()
    assert endpoint.proxy == proxy
    assert "secret" not in repr(endpoint)
    assert "password" not in repr(endpoint)


async def test_context_can_be_chosen(tmp_path):
    endpoint = await KubeconfigSource(kubeconfig(tmp_path / "k"), "two").load()
    assert (endpoint.namespace, endpoint.authorization) == ("default", None)


async def test_kubeconfigs_are_joined(tmp_path):
    files = f"{tmp_path / 'absent'}:{kubeconfig(tmp_path / 'k')}"
    assert (await KubeconfigSource(files).load()).namespace == "team"


async def test_loading_again_sees_a_changed_file(tmp_path):
    source = KubeconfigSource(kubeconfig(tmp_path / "k"))
    await source.load()
    kubeconfig(tmp_path / "k", user={"token": "rotated"})
    assert (await source.load()).authorization == "Bearer rotated"


async def test_plugin_is_run_again_on_every_load(tmp_path):
    user = plugin(
        tmp_path / "status", {"token": "1", "expirationTimestamp": "2100-01-01T00:00:00Z"}
    )
    source = KubeconfigSource(kubeconfig(tmp_path / "k", user=user))
    assert (await source.load()).authorization == "Bearer 1"
    plugin(tmp_path / "status", {"token": "2"})
    assert (await source.load()).authorization == "Bearer 2"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no kubeconfig at"),
        ("", "kubeconfig"),
        ("}{", "kubeconfig"),
        ("current-context: absent\ncontexts: []\nclusters: []\nusers: []\n", "absent"),
        ("a: [", "kubeconfig"),
    ],
)
async def test_unusable_kubeconfig_is_a_configuration_error(tmp_path, content, words):
    if content is not None:
        (tmp_path / "k").write_text(content)
    with pytest.raises(ConfigurationError, match=words):
        await KubeconfigSource(str(tmp_path / "k")).load()


async def test_failing_plugin_is_a_configuration_error(tmp_path):
    user = plugin(tmp_path / "status", {})
    user["exec"]["args"] = ["-c", "import sys; sys.exit('log in first')"]
    with pytest.raises(ConfigurationError, match="log in first"):
        await KubeconfigSource(kubeconfig(tmp_path / "k", user=user)).load()


SECRET = "c4nary-S3cret-0f-a-T0ken"
IN_BASE64 = base64.b64encode(SECRET.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"users:\n- user: {{token: {SECRET}\n bad: [\n", id="broken-yaml"),
        pytest.param(f"token: {SECRET}: {SECRET}\n", id="broken-line"),
        pytest.param(f"- {SECRET}\n", id="list"),
        pytest.param(SECRET, id="only-the-token"),
    ],
)
async def test_unreadable_kubeconfig_is_not_quoted(tmp_path, text):
    file = tmp_path / "config"
    file.write_text(text)

    assert SECRET not in await everything_said_of(KubeconfigSource(str(file)))


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        pytest.param(SECRET, {}, id="user"),
        pytest.param(
            {"client-certificate-data": f"{SECRET}!", "client-key-data": f"{SECRET}!"},
            {"server": "https://127.0.0.1:1"},
            id="no-base64",
        ),
        pytest.param(
            {"client-certificate-data": IN_BASE64, "client-key-data": IN_BASE64},
            {"server": "https://127.0.0.1:1"},
            id="no-pem",
        ),
        pytest.param({"token": "t"}, {"proxy-url": f"socks5://u:{SECRET}@127.0.0.1:1"}, id="proxy"),
        pytest.param(
            {
                "exec": {
                    "apiVersion": "client.authentication.k8s.io/v1",
                    "command": sys.executable,
                    "args": ["-c", f"print('{{\"token\": {SECRET}')"],
                }
            },
            {},
            id="plugin",
        ),
    ],
)
async def test_unusable_kubeconfig_is_not_quoted(tmp_path, user, cluster):
    file = kubeconfig(tmp_path / "config", user=user, **cluster)

    said = await everything_said_of(KubeconfigSource(file))

    assert SECRET not in said
    assert IN_BASE64 not in said


async def everything_said_of(source) -> str:
    """The error of its loading with all that it comes from."""
    with pytest.raises(ConfigurationError) as caught:
        await source.load()
    said, error = [], caught.value
    while error is not None:
        said.append(f"{error} {error!r}")
        error = error.__cause__ or error.__context__
    return "\n".join(said)


async def test_proxy_of_another_kind_is_refused_by_name(tmp_path):
    file = kubeconfig(tmp_path / "k", **{"proxy-url": "socks5://proxy:1080"})
    with pytest.raises(ConfigurationError, match="socks5"):
        await KubeconfigSource(file).load()


async def test_proxy_of_the_environment_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    file = kubeconfig(tmp_path / "k", server="http://k8s:8080")
    assert (await KubeconfigSource(file).load()).proxy == "http://proxy:3128"


# ---------------------------------------------------------------------- which one
async def test_given_file_goes_before_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "env", server="http://env"))
    given = kubeconfig(tmp_path / "given", server="http://given")
    assert (await find_source(given, None).load()).url == "http://given"
    assert (await find_source(None, None).load()).url == "http://env"


async def test_home_directory_comes_last(tmp_path, monkeypatch):
    kubeconfig(tmp_path / "home" / ".kube" / "config", server="http://home")
    assert (await find_source(None, None).load()).url == "http://home"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert isinstance(find_source(None, None), InClusterSource)
    assert isinstance(find_source(None, "one"), KubeconfigSource)


# ---------------------------------------------------------------------- TLS, in the cluster
class Authority:
    """A CA, and certificates for 127.0.0.1 it has signed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign("ca", self.key, ca=True)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str) -> tuple[Path, Path]:
        """(certificate file, key file)"""
        key = ec.generate_private_key(ec.SECP256R1())
        files = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        files[0].write_bytes(self._sign(name, key).public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files

    def server_context(self) -> ssl.SSLContext:
        """Of a server that asks for client certificates of this CA."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=self.pem.decode())
        context.load_cert_chain(*self.issue("server"))
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _sign(self, name: str, key: ec.EllipticCurvePrivateKey, *, ca: bool = False):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer = subject if ca else self.certificate.subject
        start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start.replace(year=2120))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def service_account(tmp_path, authority) -> Path:
    directory = tmp_path / "serviceaccount"
    directory.mkdir()
    (directory / "token").write_text("pod-token\n")
    (directory / "namespace").write_text("operators\n")
    (directory / "ca.crt").write_bytes(authority.pem)
    return directory


@pytest.fixture
async def tls_server(authority, monkeypatch):
    async with running_server(authority.server_context()) as server:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", server.url.rpartition(":")[2])
        server.put(path_of("x"), config_map())
        yield server


async def test_pod_connects_with_its_service_account(tls_server, service_account):
    source = InClusterSource(service_account)
    async with await connect_to(source, user_agent="t") as api:
        await api.get(CONFIG_MAPS, namespace="a", name="x")
        assert api.namespace == "operators"
        assert api.url == tls_server.url
    assert tls_server.calls[0].headers["Authorization"] == "Bearer pod-token"


async def test_rotated_token_keeps_the_tls_context(tls_server, service_account):
    source = InClusterSource(service_account)
    before = await source.load()
    (service_account / "token").write_text("rotated")
    after = await source.load()
    assert after.authorization == "Bearer rotated"
    assert after.tls is before.tls


async def test_rotated_ca_makes_a_new_tls_context(tls_server, service_account, tmp_path):
    source = InClusterSource(service_account)
    before = await source.load()
    (service_account / "ca.crt").write_bytes(Authority(tmp_path).pem)
    assert (await source.load()).tls is not before.tls


async def test_server_of_another_ca_is_refused(tls_server, service_account, tmp_path):
    (service_account / "ca.crt").write_bytes(Authority(tmp_path).pem)
    async with await connect_to(InClusterSource(service_account), user_agent="t") as api:
        with pytest.raises(TransportError, match="certificate verify failed"):
            await api.get(CONFIG_MAPS, namespace="a", name="x")


@pytest.mark.parametrize("missing", ["token", "ca.crt", "namespace"])
async def test_incomplete_service_account_is_a_configuration_error(
    tls_server, service_account, missing
):
    (service_account / missing).unlink()
    with pytest.raises(ConfigurationError, match="service account"):
        await InClusterSource(service_account).load()


async def test_client_certificate_of_a_kubeconfig_reaches_the_server(
    tls_server, authority, tmp_path
):
    peers = []

    async def note(request):
        peers.append(request.get_extra_info("peercert"))

    def data(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    certificate, key = authority.issue("someone")
    user = {"client-certificate-data": data(certificate), "client-key-data": data(key)}
    ca = base64.b64encode(authority.pem).decode()
    file = kubeconfig(
        tmp_path / "k",
        user=user,
        server=tls_server.url,
        **{"certificate-authority-data": ca},
    )
    tls_server.script("get", note)
    async with await connect(kubeconfig=file, user_agent="t") as api:
        await api.get(CONFIG_MAPS, namespace="a", name="x")
    assert peers[0]["subject"] == ((("commonName", "someone"),),)
