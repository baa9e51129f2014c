"""A TCP proxy on loopback that does to connections what bad networks do: cut, freeze, delay.

Tests put it between a client and a real server: `async with TcpProxy.to(host, port) as proxy`, and
connect to `127.0.0.1:proxy.port`. TLS passes through untouched.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_CHUNK = 2**16


@dataclass(eq=False)
class _Link:
    """One connection through the proxy; frozen, it stays so until its client hangs up."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    frozen: bool = False

    def abort(self) -> None:
        for writer in (self.client, self.server):
            writer.transport.abort()


class TcpProxy:
    """Faults hold for connections open now, `refusing` and `delay_s` also for those to come."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.accepted = 0
        self.refusing = False  # new connections are reset at once
        self.delay_s = 0.0  # each chunk is passed on so much later, in both directions

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, host: str, port: int) -> AsyncIterator[Self]:
        """A running proxy; all its connections are broken when the block ends."""
        proxy = cls(host, port)
        listener = await asyncio.start_server(proxy._accept, "127.0.0.1", 0)
        proxy.port = listener.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            listener.close()
            proxy.cut()
            for task in proxy._tasks:
                task.cancel()
            await asyncio.gather(*proxy._tasks, return_exceptions=True)

    @property
    def open_count(self) -> int:
        return len(self._links)

    def cut(self) -> None:
        """Reset every open connection, on both sides."""
        for link in tuple(self._links):
            link.abort()

    def freeze(self) -> None:
        """Make the connections open now half-open: what is sent vanishes, the server's end too.

        Each stays so until its client hangs up, or until `cut`.
        """
        for link in self._links:
            link.frozen = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        try:
            if self.refusing:
                writer.transport.abort()
            else:
                await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(*self._target)
        link = _Link(writer, to_server)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                answers = group.create_task(self._answer(link, from_server))
                await self._pass_on(link, reader, to_server)  # until the client hangs up
                answers.cancel()
        except* OSError:
            pass
        finally:
            link.abort()
            self._links.discard(link)

    async def _answer(self, link: _Link, from_server: asyncio.StreamReader) -> None:
        """From the server to the client, its end included unless the link is frozen."""
        try:
            await self._pass_on(link, from_server, link.client)
        except OSError:
            if not link.frozen:
                raise
        if not link.frozen:
            link.abort()

    async def _pass_on(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while chunk := await reader.read(_CHUNK):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if not link.frozen:
                writer.write(chunk)
                await writer.drain()
