"""An S3 server in this process that answers every request as it is told to, and counts them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from snapshots.locations import S3Keys, S3Location

SECRET = "very-secret-key"
KEYS = S3Keys(access_key_id="AK", secret_access_key=SECRET)


@dataclass
class FaultyS3:
    """status, code: of every answer. silent: no answer at all. cut: bodies end in the middle.

    unconditional: without conditional writes; holds: has the object that is asked for.
    """

    port: int = 0
    status: int = 200
    code: str = ""
    silent: bool = False
    cut: bool = False
    unconditional: bool = False
    holds: bool = False
    end: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[web.Request] = field(default_factory=list)

    def location(self, **changes):
        settings = {"bucket": "bkt", "region": "us-east-1", "path_style": True}
        return S3Location(endpoint=f"http://127.0.0.1:{self.port}", **settings | changes)

    async def answer(self, request):
        await request.read()
        self.requests.append(request)
        if self.silent:
            await self.end.wait()
        if self.cut:
            return await self._half(request)
        if self.unconditional and "If-None-Match" in request.headers:
            return _error(501, "NotImplemented")
        if self.unconditional and request.method == "HEAD" and not self.holds:
            return web.Response(status=404)
        return _error(self.status, self.code) if self.code else self._done()

    async def _half(self, request):
        response = web.StreamResponse(headers=_HEADERS | {"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"x" * 500)
        request.transport.close()
        return response

    def _done(self):
        return web.Response(status=self.status, headers=_HEADERS, body=b"x")


_HEADERS = {"ETag": '"e"', "Last-Modified": "Tue, 01 Jan 2030 00:00:00 GMT"}


def _error(status, code):
    # As some stores do, it repeats the request's secret in its words.
    body = f"<Error><Code>{code}</Code><Message>said by the store to {SECRET}</Message></Error>"
    return web.Response(status=status, text=body)


@asynccontextmanager
async def serving():
    server = FaultyS3()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        server.end.set()
        await runner.cleanup()
