"""Port-forwards are opened with all that a kubeconfig asks for, as every other request is."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager, suppress

import pytest

from informers.wire import connect
from tests.unit.informers.api_faults import answer_status
from tests.unit.informers.api_server import running_server
from tests.unit.informers.pod_port import echo, pod_port
from tests.unit.informers.test_kubeconfig import Authority, bare_environment, kubeconfig, plugin

__all__ = ["bare_environment"]


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
async def tls_server(authority):
    async with running_server(authority.server_context()) as server:
        yield server


async def talk(file):
    """One port-forward that works."""
    async with (
        await connect(kubeconfig=file, user_agent="t") as api,
        api.port_forward(namespace="team", pod="db-0", port=2379) as forward,
    ):
        await forward.write(b"hello")
        assert await forward.read() == b"hello"


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


async def test_client_certificate_is_shown(tls_server, authority, tmp_path):
    peers = []

    async def note(request):
        peers.append(request.get_extra_info("peercert"))
        return await pod_port(echo)(request)

    certificate, key = (encoded(file.read_bytes()) for file in authority.issue("someone"))
    user = {"client-certificate-data": certificate, "client-key-data": key}
    cluster = {"server": tls_server.url, "certificate-authority-data": encoded(authority.pem)}
    tls_server.script("get", note)
    await talk(kubeconfig(tmp_path / "k", user=user, **cluster))
    assert peers[0]["subject"] == ((("commonName", "someone"),),)


async def test_certificate_is_checked_against_the_name_asked_for(tls_server, authority, tmp_path):
    cluster = {
        "server": tls_server.url.replace("127.0.0.1", "localhost"),
        "tls-server-name": "127.0.0.1",
        "certificate-authority-data": encoded(authority.pem),
    }
    tls_server.script("get", pod_port(echo))
    await talk(kubeconfig(tmp_path / "k", **cluster))


async def test_plugin_is_run_again_when_its_token_is_refused(server, tmp_path):
    async def refuse_and_log_in(request):
        plugin(tmp_path / "status", {"token": "2"})
        return await answer_status(401, "Unauthorized")(request)

    user = plugin(tmp_path / "status", {"token": "1"})
    server.script("get", refuse_and_log_in, pod_port(echo))
    await talk(kubeconfig(tmp_path / "k", user=user, server=server.url))
    used = [call.headers["Authorization"] for call in server.seen("get")]
    assert used == ["Bearer 1", "Bearer 2"]


@asynccontextmanager
async def tunnelling_proxy():
    """Its URL, and the addresses it was asked to CONNECT to."""
    asked, handling = [], set()

    async def pump(reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def handle(reader, writer):
        handling.add(asyncio.current_task())
        head = await reader.readuntil(b"\r\n\r\n")
        address = head.split()[1].decode()
        asked.append(address)
        host, _, port = address.partition(":")
        onward = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, onward[1]), pump(onward[0], writer))

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        await asyncio.gather(*handling)


async def test_proxy_of_the_kubeconfig_is_used(tls_server, authority, tmp_path):
    tls_server.script("get", pod_port(echo))
    async with tunnelling_proxy() as (proxy, asked):
        cluster = {
            "server": tls_server.url,
            "proxy-url": proxy,
            "certificate-authority-data": encoded(authority.pem),
        }
        await talk(kubeconfig(tmp_path / "k", **cluster))
    assert asked == [tls_server.url.removeprefix("https://")]
