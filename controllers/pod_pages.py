"""A page that a pod of ours serves over HTTP: by the pod's IP from inside of the cluster, through
the API server's port-forward from outside.

One request, one connection, one answer that is read to its end and no further than its limit. What
comes back is somebody else's word: only its size and its form as HTTP are looked at here.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
from typing import TYPE_CHECKING, Final, Protocol, cast

from typing_extensions import override

from informers.errors import KubeError

if TYPE_CHECKING:
    import socket

    from controllers.port_forward_dialer import PodPorts, Stream

_PIECE_BYTES: Final = 2**15
# On top of the page itself.
_HEADERS_BYTES: Final = 2**14


class PageError(Exception):
    """There is no such page to be had; the text says why."""


class PodPages(Protocol):
    """What reads pages of pods."""

    async def get(
        self,
        *,
        namespace: str,
        pod: str,
        address: str,
        port: int,
        path: str,
        timeout_s: float,
        max_bytes: int,
    ) -> bytes:
        """The body of the answer, at most `max_bytes`, within `timeout_s`. Raises PageError."""


class DirectPages:
    """By the pod's IP."""

    async def get(
        self,
        *,
        namespace: str,
        pod: str,
        address: str,
        port: int,
        path: str,
        timeout_s: float,
        max_bytes: int,
    ) -> bytes:
        """As PodPages."""
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_connection(address, port)
                try:
                    return await _ask(_Socket(reader, writer), path, max_bytes)
                finally:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
        except TimeoutError:
            raise PageError(_silence(timeout_s)) from None
        except OSError as error:
            message = f"no connection to port {port}: {error.strerror or error}"
            raise PageError(message) from error


class ForwardedPages:
    """Through the API server."""

    def __init__(self, pods: PodPorts) -> None:
        self._pods = pods

    async def get(
        self,
        *,
        namespace: str,
        pod: str,
        address: str,
        port: int,
        path: str,
        timeout_s: float,
        max_bytes: int,
    ) -> bytes:
        """As PodPages."""
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._pods.port_forward(
                    namespace=namespace, pod=pod, port=port, timeout_s=timeout_s
                ) as stream,
            ):
                return await _ask(stream, path, max_bytes)
        except TimeoutError:
            raise PageError(_silence(timeout_s)) from None
        except KubeError as error:
            raise PageError(str(error)) from error


class _Socket:
    """A TCP connection as a `Stream`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        return await self._reader.read(_PIECE_BYTES)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


class _Answer(io.BytesIO):
    """What came, in the place of the socket that `http.client` reads from."""

    def makefile(self, *_args: object) -> io.BytesIO:
        return self

    @override
    def close(self) -> None:
        """It is all in memory; closed, the rest of an answer could not be read."""


async def _ask(stream: Stream, path: str, max_bytes: int) -> bytes:
    # 1.0 and nothing kept open: the answer ends where the connection does.
    request = f"GET {path} HTTP/1.0\r\nHost: pod\r\nAccept: application/json\r\n\r\n"
    await stream.write(request.encode("ascii"))
    found = bytearray()
    while piece := await stream.read():
        found += piece
        if len(found) > max_bytes + _HEADERS_BYTES:
            message = f"the answer is longer than {max_bytes} bytes"
            raise PageError(message)
    return _body(bytes(found), max_bytes)


def _body(raw: bytes, max_bytes: int) -> bytes:
    """Raises PageError for what is no HTTP, cut off, or no success."""
    answer = http.client.HTTPResponse(cast("socket.socket", _Answer(raw)), method="GET")
    with contextlib.closing(answer):
        try:
            answer.begin()
            body = answer.read()
        except (http.client.HTTPException, ValueError) as error:
            message = f"what it answers is no HTTP: {type(error).__name__}"
            raise PageError(message) from error
        if answer.status != http.client.OK:
            message = f"it answers with status {answer.status}"
            raise PageError(message)
    if len(body) > max_bytes:
        message = f"the answer is longer than {max_bytes} bytes"
        raise PageError(message)
    return body


def _silence(timeout_s: float) -> str:
    return f"no answer within {timeout_s:g} s"
