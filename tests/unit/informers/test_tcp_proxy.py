"""The proxy of the fault tests: its faults are what they are called, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.integration.tcp_proxy import TcpProxy
from tests.unit.informers.watching import eventually

pytestmark = pytest.mark.looptime


class Server:
    """Repeats what it is told."""

    def __init__(self) -> None:
        self.connections: list[asyncio.StreamWriter] = []

    async def repeat(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(line)
        writer.close()


@pytest.fixture
async def server():
    return Server()


@pytest.fixture
async def proxy(server):
    listener = await asyncio.start_server(server.repeat, "127.0.0.1", 0)
    async with listener, TcpProxy.to("127.0.0.1", port_of(listener)) as running:
        yield running


@pytest.fixture
async def client(proxy):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"hello\n")
    assert await reader.readline() == b"hello\n"
    yield reader, writer
    writer.close()


def port_of(listener: asyncio.Server) -> int:
    return listener.sockets[0].getsockname()[1]


async def test_frozen_connection_loses_what_is_sent(proxy, client):
    reader, writer = client
    proxy.freeze()
    writer.write(b"lost\n")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 3600)


async def test_frozen_connection_hides_the_end_of_its_server(proxy, server, client):
    reader, _ = client
    proxy.freeze()
    server.connections[0].transport.abort()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 3600)
    assert proxy.open_count == 1


async def test_frozen_connection_ends_when_its_client_hangs_up(proxy, client):
    _, writer = client
    proxy.freeze()
    writer.close()
    await eventually(lambda: proxy.open_count == 0)


async def test_end_of_the_server_is_passed_on(proxy, server, client):
    reader, _ = client
    server.connections[0].close()
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    await eventually(lambda: proxy.open_count == 0)
