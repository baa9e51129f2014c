"""/metrics over TLS, with the certificate that lies in the folder now."""

import asyncio
import ssl
from contextlib import asynccontextmanager

import aiohttp
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from controllers.bind import Bind
from controllers.http import HttpServer
from controllers.metrics_auth import MetricsAuth
from controllers.serving_certificate import ServingCertificate
from informers.errors import ConfigurationError
from tests.unit.controllers.serving_pair import replace, write_pair

METRICS, HEALTH = Bind("127.0.0.1", 0), Bind("localhost", 0)


@asynccontextmanager
async def serving(folder, **options):
    certificate = ServingCertificate(folder)
    server = HttpServer(
        health=HEALTH,
        metrics=METRICS,
        registry=CollectorRegistry(),
        tls=certificate.context,
        **options,
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def served_name(server, *, with_name=True):
    """The CN that is shown in a handshake, before an answer."""
    context = trusting()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        server.port(METRICS),
        ssl=context,
        server_hostname="localhost" if with_name else "",
    )
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b" 200 " in await reader.readline()
    shown = x509.load_der_x509_certificate(writer.get_extra_info("ssl_object").getpeercert(True))
    writer.close()
    (name,) = shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return name.value


def trusting():
    """A client's context that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.mark.parametrize("with_name", [True, False])
async def test_certificate_is_read_anew_when_it_changed(tmp_path, with_name):
    write_pair(tmp_path, "first")
    async with serving(tmp_path) as server:
        assert await served_name(server, with_name=with_name) == "first"
        write_pair(tmp_path, "second")

        assert await served_name(server, with_name=with_name) == "second"


def cut_off(folder):
    replace(folder / "tls.crt", b"-----BEGIN CERTIFICATE-----\n")


def other_key(folder):
    kept = (folder / "tls.crt").read_bytes()
    write_pair(folder, "another")
    replace(folder / "tls.crt", kept)


def locked_key(folder):
    write_pair(folder, "locked", password=b"x")


def gone(folder):
    (folder / "tls.key").unlink()


@pytest.mark.parametrize("spoil", [cut_off, other_key, locked_key, gone])
async def test_last_good_certificate_stays_until_another_good_one_comes(tmp_path, spoil):
    write_pair(tmp_path, "first")
    async with serving(tmp_path) as server:
        spoil(tmp_path)
        with capture_logs() as lines:
            assert await served_name(server) == "first"
            assert await served_name(server) == "first"
        assert [line["event"] for line in lines] == ["certificate not renewed"]
        write_pair(tmp_path, "third")

        assert await served_name(server) == "third"


@pytest.mark.parametrize("spoil", [cut_off, other_key, locked_key, gone])
def test_nothing_good_to_begin_with_is_an_error_that_names_the_folder(tmp_path, spoil):
    write_pair(tmp_path, "first")
    spoil(tmp_path)

    with pytest.raises(ConfigurationError, match=str(tmp_path)):
        ServingCertificate(tmp_path)


async def test_plain_text_is_refused_and_health_stays_plain(tmp_path):
    write_pair(tmp_path, "first")
    async with serving(tmp_path) as server, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://127.0.0.1:{server.port(METRICS)}/metrics")
        async with session.get(f"http://localhost:{server.port(HEALTH)}/healthz") as answer:
            assert answer.status == 200


async def test_without_a_token_the_answer_is_401_with_the_scheme(tmp_path, api):
    write_pair(tmp_path, "first")
    context = trusting()
    async with (
        serving(tmp_path, auth=MetricsAuth(api)) as server,
        aiohttp.ClientSession() as session,
        session.get(f"https://127.0.0.1:{server.port(METRICS)}/metrics", ssl=context) as answer,
    ):
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert await answer.text() == ""
