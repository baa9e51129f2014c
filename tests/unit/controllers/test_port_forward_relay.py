"""The relay between gRPC's socket and a port-forward: how much is under way, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field

import pytest

from controllers.port_forward_dialer import relay
from informers.errors import TransportError


@dataclass
class Source:
    """A stream that has data without end, and takes nothing but when it is told to."""

    given: int = 0
    taken: int = 0
    taking: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self):
        await asyncio.sleep(0)
        self.given += 2**15
        return bytes(2**15)

    async def write(self, data):
        await self.taking.wait()
        self.taken += len(data)


@contextlib.asynccontextmanager
async def relaying(remote):
    """The other end of a relay, with socket buffers of a known size."""
    ours, grpcs = socket.socketpair()
    for end in (ours, grpcs):
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    task = asyncio.get_running_loop().create_task(relay(ours, remote, on_data=lambda: None))
    try:
        yield grpcs
    finally:
        task.cancel()
        await asyncio.wait([task])
        ours.close()
        grpcs.close()


async def settle():
    for _ in range(1000):
        await asyncio.sleep(0)


async def test_slow_reader_holds_the_pod_back():
    """At most the socket's buffer and one piece are under way: measured, all along 64 MiB."""
    remote, received, most = Source(), 0, 0
    loop = asyncio.get_running_loop()
    async with relaying(remote) as grpcs:
        await settle()
        while received < 64 * 2**20:
            received += len(await loop.sock_recv(grpcs, 2**18))
            await asyncio.sleep(0)
            most = max(most, remote.given - received)

    assert most <= 2**18 + 2 * 2**15


async def test_slow_pod_holds_the_writer_back():
    remote = Source()
    async with relaying(remote) as grpcs:
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += grpcs.send(bytes(2**15))
                await settle()
        assert sent <= 2**18 + 2 * 2**15
        remote.taking.set()
        await settle()
        assert remote.taken == sent


@pytest.mark.looptime
async def test_reader_that_stopped_for_good_ends_the_relay():
    ours, grpcs = socket.socketpair()
    with ours, grpcs:
        ours.setblocking(False)
        with pytest.raises(ExceptionGroup) as raised:
            await relay(ours, Source(), on_data=lambda: None)
    assert isinstance(raised.value.exceptions[0], TimeoutError)
    assert asyncio.get_running_loop().time() == pytest.approx(30, abs=1)


async def test_error_of_the_stream_ends_the_relay():
    class Broken(Source):
        async def read(self):
            raise TransportError("gone")

    ours, grpcs = socket.socketpair()
    with ours, grpcs:
        ours.setblocking(False)
        with pytest.raises(ExceptionGroup) as raised:
            await relay(ours, Broken(), on_data=lambda: None)
    assert isinstance(raised.value.exceptions[0], TransportError)
