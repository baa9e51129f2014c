"""Hands connections from the machine's loopback port on to the node's API server. Not for people.

The listening socket was made outside and is inherited: what is accepted on it comes from outside,
what is connected here stays inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

CHUNK = 256 * 1024


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    try:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        # The API server is down: the caller sees a closed connection, as behind a load balancer.
        writer.transport.abort()
        return
    try:
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
    finally:
        for one in (writer, inner_writer):
            one.close()


async def main(descriptor: int, port: int) -> None:
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)
    server = await asyncio.start_server(
        lambda reader, writer: _serve(reader, writer, port), sock=listener, limit=CHUNK
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
