"""What a node does with a port-forward, as a step for the scriptable API server.

`server.on_every("get", pod_port(echo))`: each port-forward is accepted and answered by `echo`; when
that returns, the node closes.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from tests.unit.informers.api_faults import Step

PROTOCOL = "v4.channel.k8s.io"


@dataclass
class PodSide:
    """The pod's end of one port-forward."""

    websocket: web.WebSocketResponse
    request: web.Request
    messages: list[int] = field(default_factory=list)  # their sizes, as received

    async def send(self, data: bytes, *, channel: int = 0) -> None:
        await self.websocket.send_bytes(bytes([channel]) + data)

    async def receive(self) -> bytes:
        """Data of the next message; b"" when the client has gone."""
        message = await self.websocket.receive()
        if message.type is not WSMsgType.BINARY:
            return b""
        assert message.data[:1] == b"\0"
        self.messages.append(len(message.data))
        return message.data[1:]

    async def receive_exactly(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size and (data := await self.receive()):
            received += data
        return bytes(received)

    def drop(self) -> None:
        """The connection breaks, without a goodbye."""
        assert self.request.transport is not None
        self.request.transport.abort()


Behaviour = Callable[[PodSide], Awaitable[None]]


def pod_port(behaviour: Behaviour, *, announced: bool = True, autoping: bool = True) -> Step:
    async def step(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(protocols=(PROTOCOL,), autoping=autoping)
        await websocket.prepare(request)
        side = PodSide(websocket, request)
        if announced:
            port = struct.pack("<H", int(request.query["ports"]))
            await side.send(port)
            await side.send(port, channel=1)
        await behaviour(side)
        await websocket.close()
        return websocket

    return step


async def echo(side: PodSide) -> None:
    while data := await side.receive():
        await side.send(data)


async def stay_silent(side: PodSide) -> None:
    """Until the client has gone."""
    while await side.receive():
        pass


async def freeze(_: PodSide) -> None:
    """Neither reads nor writes ever again."""
    await asyncio.get_running_loop().create_future()
