"""Requests to an API server into the same requests, cut, frozen, refused or cut short on demand.

bench/soak.py starts it as a process of its own, so that what a proxy holds is not counted as the
operator's. Each front is a TCP proxy (cuts, freezes) before an HTTP proxy (429, dropped watches,
held Leases), both with the API server's own certificate. Clients of a front share its faults.

Usage: python -m bench.soak_proxy --dir DIR FRONT...     (DIR: as given to hack/apiserver)
Prints {"FRONT": port, ...}; then obeys lines of standard input until it is closed:
  cut FRONT | freeze FRONT | storm FRONT S | hold FRONT S | drop FRONT end|abort|expire
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import ssl
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import uvloop
from aiohttp import web
from yarl import URL

from informers.kubeconfig import Endpoint, KubeconfigSource
from tests.integration.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

RETRY_AFTER_S = 1
EXPIRED = {
    "type": "ERROR",
    "object": {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "too old resource version: 1 (2)",
        "reason": "Expired",
        "code": 410,
    },
}
REFUSAL = {
    "kind": "Status",
    "apiVersion": "v1",
    "status": "Failure",
    "message": "too many requests, please try again later",
    "reason": "TooManyRequests",
    "details": {"retryAfterSeconds": RETRY_AFTER_S},
    "code": 429,
}
# Said anew on each hop.
HOP_HEADERS = {"host", "content-length", "transfer-encoding", "connection", "content-encoding"}


@dataclass(eq=False)
class Watch:
    """One that passes through; `how` it is to end, once somebody wants it to."""

    upstream: aiohttp.ClientResponse
    how: str = ""

    def drop(self, how: str) -> None:
        self.how = how
        self.upstream.close()


@dataclass(eq=False)
class Front:
    """An HTTP proxy of its own, and its faults; times are on the loop's clock."""

    upstream: Endpoint
    session: aiohttp.ClientSession
    storm_until: float = 0.0
    hold_until: float = 0.0
    watches: set[Watch] = field(default_factory=set)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if now() < self.storm_until:
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            return web.json_response(REFUSAL, status=429, headers=headers)
        if "/leases" in request.path:
            await self._hold()
        try:
            return await self._pass_on(request)
        except (aiohttp.ClientError, OSError):
            return abort(request)

    async def _hold(self) -> None:
        """Requests come out late, and late ones must find that the world went on."""
        while (left_s := self.hold_until - now()) > 0:
            await asyncio.sleep(left_s)

    async def _pass_on(self, request: web.BaseRequest) -> web.StreamResponse:
        async with self.session.request(
            request.method,
            URL(self.upstream.url + request.raw_path, encoded=True),
            headers=kept(request.headers),
            data=await request.read(),
            ssl=self.upstream.tls or True,
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers=kept(answer.headers))
            await response.prepare(request)
            if request.query.get("watch") == "true":
                return await self._follow(Watch(answer), request, response)
            await response.write(await answer.read())
            await response.write_eof()
            return response

    async def _follow(
        self, watch: Watch, request: web.BaseRequest, response: web.StreamResponse
    ) -> web.StreamResponse:
        self.watches.add(watch)
        last = b"\n"
        try:
            with contextlib.suppress(aiohttp.ClientError):
                while chunk := await watch.upstream.content.readany():
                    await response.write(chunk)
                    last = chunk[-1:]
                watch.how = watch.how or "end"
        finally:
            self.watches.discard(watch)
        if watch.how not in {"end", "expire"} or last != b"\n":
            return abort(request)
        if watch.how == "expire":
            await response.write(json.dumps(EXPIRED).encode() + b"\n")
        await response.write_eof()
        return response


def kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in headers.items() if name.lower() not in HOP_HEADERS}


def abort(request: web.BaseRequest) -> web.StreamResponse:
    """What a client sees of a server that died: its connection is reset."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)  # goes nowhere


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass(eq=False)
class Line:
    """The way to the API server for one operator."""

    front: Front
    tcp: TcpProxy

    def obey(self, verb: str, argument: str) -> None:
        match verb:
            case "cut":
                self.tcp.cut()
            case "freeze":
                self.tcp.freeze()
            case "storm":
                self.front.storm_until = now() + float(argument)
            case "hold":
                self.front.hold_until = now() + float(argument)
            case "drop":
                for watch in tuple(self.front.watches):
                    watch.drop(argument)
            case _:
                raise ValueError(verb)


@contextlib.asynccontextmanager
async def serving(front: Front, tls: ssl.SSLContext) -> AsyncIterator[Line]:
    # Cancelled with its client: a watch without one would hold a connection to the API server.
    server = web.Server(front.handle, handler_cancellation=True, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        async with TcpProxy.to("127.0.0.1", runner.addresses[0][1]) as tcp:
            yield Line(front, tcp)
    finally:
        await runner.cleanup()


async def run(folder: Path, names: list[str]) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate(folder / "pki"))
    upstream = await KubeconfigSource(str(folder / "kubeconfig")).load()
    async with contextlib.AsyncExitStack() as stack:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            auto_decompress=False,
        )
        await stack.enter_async_context(session)
        lines = {
            name: await stack.enter_async_context(serving(Front(upstream, session), tls))
            for name in names
        }
        print(json.dumps({name: line.tcp.port for name, line in lines.items()}), flush=True)
        async for words in standard_input():
            verb, name, *argument = words
            lines[name].obey(verb, "".join(argument))


def certificate(pki: Path) -> tuple[Path, Path]:
    return pki / "apiserver.crt", pki / "apiserver.key"


async def standard_input() -> AsyncIterator[list[str]]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield line.decode().split()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("fronts", nargs="+")
    given = parser.parse_args()
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # clients that went away are our trade
    uvloop.run(run(given.dir, given.fronts))
