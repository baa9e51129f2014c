"""How pods are reached: addresses, names, TLS, and patience with slow ones."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from etcd.dialer import target_of
from etcd.errors import TransportCause, UnavailableError
from etcd.tls import ClientTLS
from tests.unit.etcd.fake_member import endpoint, serving

FQDN = "main-0.main-peer.ns.svc.cluster.local"
has_ipv6 = pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")


def certificate(*names):
    """A self-signed certificate for these DNS names, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return signed.public_bytes(serialization.Encoding.PEM), private


@asynccontextmanager
async def secure_member(*names):
    cert, key = certificate(*names)
    credentials = grpc.ssl_server_credentials([(key, cert)])
    async with serving(credentials=credentials) as running:
        yield running, ClientTLS(ca=cert)


@asynccontextmanager
async def delayed(port, delay_s):
    """A TCP proxy that lets nothing through for a while: a member busy with something else."""

    async def pump(reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def handle(reader, writer):
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(delay_s)
        await asyncio.gather(pump(reader, onward_writer), pump(onward_reader, writer))

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("10.0.0.1", "ipv4:10.0.0.1:2379"),
        ("fd00::1", "ipv6:[fd00::1]:2379"),
        ("FD00:0:0:0:0:0:0:1", "ipv6:[fd00::1]:2379"),
    ],
)
def test_addresses_become_targets_that_nobody_resolves(address, target):
    assert target == target_of(address, 2379)


@pytest.mark.parametrize("address", ["main-0.svc", "localhost", "[fd00::1]", ""])
def test_names_are_no_addresses(address):
    with pytest.raises(ValueError, match="IPv4 or IPv6"):
        endpoint(address=address)


@has_ipv6
async def test_ipv6_pods_are_reached(pool):
    async with serving(host="[::1]") as running:
        status = await pool.client(running.endpoint(address="::1")).maintenance.status()

    assert status.version == "3.6.16"


async def test_certificate_is_checked_against_the_pods_name(pool):
    async with secure_member(FQDN) as (running, tls):
        pool.trust("ns/main", tls)
        status = await pool.client(running.endpoint()).maintenance.status()

    assert status.version == "3.6.16"


async def test_certificate_of_another_name_is_refused(pool):
    async with secure_member("main-1.main-peer.ns.svc.cluster.local") as (running, tls):
        pool.trust("ns/main", tls)
        with pytest.raises(UnavailableError) as raised:
            await pool.client(running.endpoint()).maintenance.status()

    assert (raised.value.cause, raised.value.maybe_applied) == (TransportCause.TLS, False)


async def test_certificate_of_another_ca_is_refused(pool):
    other, _ = certificate(FQDN)
    async with secure_member(FQDN) as (running, _):
        pool.trust("ns/main", ClientTLS(ca=other))
        with pytest.raises(UnavailableError) as raised:
            await pool.client(running.endpoint()).maintenance.status()

    assert TransportCause.TLS is raised.value.cause


async def test_member_with_a_slow_handshake_is_reached(pool, member):
    async with delayed(member.port, 1.2) as port:
        status = await pool.client(endpoint(port=port)).maintenance.status(timeout_s=5)

    assert status.version == "3.6.16"


async def test_proxy_settings_of_the_environment_are_ignored(pool, member, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:1")

    status = await pool.client(member.endpoint()).maintenance.status()

    assert status.version == "3.6.16"


def test_credentials_stay_out_of_texts():
    cert, key = certificate("x")

    assert "BEGIN" not in repr(ClientTLS(ca=cert, cert=cert, key=key))


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"ca": b"x"}, "CA bundle is not PEM"),
        ({"cert": b"x"}, "needs its key"),
        ({"key": b"x"}, "the other way round"),
        ({"cert": b"x", "key": b"y"}, "client certificate is not PEM"),
    ],
)
def test_credentials_that_are_no_pem_are_refused_early(parts, complaint):
    ca, _ = certificate("x")

    with pytest.raises(ValueError, match=complaint):
        ClientTLS(**{"ca": ca, **parts})
