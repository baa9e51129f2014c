"""A port of a pod, reached through the API server, as a stream of bytes.

Speaks `v4.channel.k8s.io` over a WebSocket (k8s.io/kubelet pkg/cri/streaming/portforward/
websocket.go): each message begins with the number of its channel, which for the one port asked for
is 0 for data and 1 for the words of an error; the first message on each holds the port, little
endian. There is no half-close, so one WebSocket is one TCP connection, and whoever ends first ends
both. `KubeApi.port_forward` opens it; it must not be shared by two readers or two writers.

- Nothing is read ahead: while nobody calls `read`, aiohttp's queue fills (128 KiB and one message),
  then TCP's buffers, then the sender waits.
- A reader that waits in vain asks the peer for a sign of life, so an API server that froze or was
  cut off is noticed: in 7 s by who waits for an answer to what was written, else in 15 s. While
  nobody reads nobody asks: the answer would wait in the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import aiohttp

from informers.errors import (
    ForwardError,
    StreamIdleError,
    TransportError,
    UnreadableError,
    transport_error,
)
from informers.transport import Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from informers.transport import Transport

PROTOCOL: Final = "v4.channel.k8s.io"
# Go's io.Copy sends 32 KiB a time; a peer that sends more than this is no kubelet.
MAX_MESSAGE_BYTES: Final = 2**20
# What goes into one message of ours; the API server copies in pieces of this size as well.
CHUNK_BYTES: Final = 2**15

_PING_AFTER_S = 10.0
# Where something was written since: etcd answers in milliseconds, so silence says more.
_PING_SOON_S = 2.0
_PONG_WITHIN_S = 5.0
# One message into a buffer that drains at all.
_WRITE_TIMEOUT_S = 30.0
# For the last words; the peer may be the reason for leaving.
_CLOSE_TIMEOUT_S = 1.0
_DATA, _ERROR = b"\0", b"\1"


class PortForward:
    """One connection to the port. Opened, and closed, by `open_port_forward`."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse, what: str, port: int) -> None:
        self._websocket = websocket
        self._what = what
        self._channels = Channels(what, port)
        self._is_asked = False  # something was written, and nothing has come since
        self._quiet: asyncio.Timeout | None = None  # the pause of a waiting reader

    async def read(self) -> bytes:
        """The next bytes, as many as came in one message; b"" when the pod's side has ended.

        Raises ForwardError with the node's words, StreamIdleError when the peer gives no sign of
        life (see above), TransportError when the connection broke. Cancelling loses nothing.
        """
        while True:
            message = await self._message()
            match message.type:
                case aiohttp.WSMsgType.BINARY:
                    if data := self._channels.feed(message.data):
                        return data
                case aiohttp.WSMsgType.PING:
                    await self._send(aiohttp.WSMsgType.PONG, message.data)
                case aiohttp.WSMsgType.PONG:
                    continue
                case aiohttp.WSMsgType.CLOSE:
                    return b""
                case _:
                    msg = f"{self._what}: {message.data or 'the connection broke'}"
                    raise TransportError(msg)

    async def write(self, data: bytes) -> None:
        """Sends the bytes; waits while the peer is behind by more than 128 KiB.

        Raises TransportError, also after 30 s without progress. Cancelled: they may have been sent.
        """
        for start in range(0, len(data), CHUNK_BYTES):
            chunk = data[start : start + CHUNK_BYTES]
            await self._send(aiohttp.WSMsgType.BINARY, _DATA + chunk)
            self._expect_an_answer()

    async def close(self) -> None:
        """Says goodbye and closes the connection, within a second. Never raises KubeError."""
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._websocket.close()

    async def _message(self) -> aiohttp.WSMessage:
        """The next message of any kind; each is a sign of life."""
        began = _now()
        with contextlib.suppress(TimeoutError):
            return await self._received_soon()
        await self._send(aiohttp.WSMsgType.PING, b"")
        try:
            async with asyncio.timeout(_PONG_WITHIN_S):
                return await self._received()
        except TimeoutError as error:
            msg = f"{self._what}: no sign of life for {_now() - began:.0f} s"
            raise StreamIdleError(msg) from error

    async def _received_soon(self) -> aiohttp.WSMessage:
        pause_s = _PING_SOON_S if self._is_asked else _PING_AFTER_S
        async with asyncio.timeout(pause_s) as quiet:
            self._quiet = quiet
            try:
                return await self._received()
            finally:
                self._quiet = None

    async def _received(self) -> aiohttp.WSMessage:
        message = await self._websocket.receive()
        self._is_asked = False
        return message

    def _expect_an_answer(self) -> None:
        """Lets a reader that waits already ask sooner."""
        if self._is_asked:
            return
        self._is_asked = True
        if self._quiet is not None and not self._quiet.expired():
            soon = _now() + _PING_SOON_S
            self._quiet.reschedule(min(soon, self._quiet.when() or soon))

    async def _send(self, kind: aiohttp.WSMsgType, data: bytes) -> None:
        try:
            async with asyncio.timeout(_WRITE_TIMEOUT_S):
                await self._websocket.send_frame(data, kind)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise transport_error(self._what, error) from error


class Channels:
    """Messages of the protocol, in order, into the bytes of the port. No I/O."""

    def __init__(self, what: str, port: int) -> None:
        self._what = what
        self._port = port
        self._announced: set[bytes] = set()

    def feed(self, message: bytes) -> bytes:
        """The data of one message; b"" for those that hold none.

        Raises ForwardError for words on the error channel, UnreadableError for what is no message
        of this protocol.
        """
        channel, payload = message[:1], message[1:]
        if channel not in {_DATA, _ERROR}:
            raise self._unreadable("a message for no channel of ours")
        if channel not in self._announced:
            self._announced.add(channel)
            return self._without_port(payload)
        if channel == _DATA:
            return payload
        if payload:
            msg = f"{self._what}: {payload.decode(errors='replace').strip()}"
            raise ForwardError(msg)
        return b""

    def _without_port(self, payload: bytes) -> bytes:
        """The first message of a channel is its port and nothing else."""
        if payload != struct.pack("<H", self._port):
            raise self._unreadable("a channel that does not begin with its port")
        return b""

    def _unreadable(self, why: str) -> UnreadableError:
        return UnreadableError(f"{self._what}: {why}")


@asynccontextmanager
async def open_port_forward(
    transport: Transport, *, namespace: str, pod: str, port: int, timeout_s: float
) -> AsyncIterator[PortForward]:
    """A connection to a pod's port, open while the block runs; `timeout_s` is for opening it.

    Raises StatusError with the API server's words (ForbiddenError: the user may not; NotFoundError:
    no such pod; ServerError: its node can't be reached, or the pod does not run), TransportError.
    That nobody listens on the port shows later, as the first `read`'s ForwardError.
    """
    request = Request(
        # A WebSocket begins as a GET: RBAC asks for `get`, and from Kubernetes 1.35 on for `create`
        # as well (feature gate AuthorizePodWebsocketUpgradeCreatePermission).
        method="GET",
        path=f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward",
        verb="connect",
        resource="pods/portforward",
        params={"ports": str(port)},
    )
    websocket = await transport.websocket(
        request, protocol=PROTOCOL, max_message_bytes=MAX_MESSAGE_BYTES, timeout_s=timeout_s
    )
    forward = PortForward(websocket, f"port {port} of pod {namespace}/{pod}", port)
    try:
        yield forward
    finally:
        await forward.close()


def _now() -> float:
    return asyncio.get_running_loop().time()
