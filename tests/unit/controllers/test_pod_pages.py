"""Pages of pods: one answer, whole and no longer than its limit, whichever way it comes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from controllers.pod_pages import DirectPages, ForwardedPages, PageError
from informers.errors import ForbiddenError
from tests.unit.informers.api_faults import answer_status
from tests.unit.informers.pod_port import pod_port

LIMIT = 100
OK = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"


@asynccontextmanager
async def direct(answer, *, hangs=False):
    """A pod that answers so, by its IP; yields what asks it."""
    asked, done = [], asyncio.Event()

    async def serve(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if hangs:
            await done.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def ask(timeout_s=5.0):
        return DirectPages().get(
            namespace="prod",
            pod="changes-0",
            address="127.0.0.1",
            port=port,
            path="/status",
            timeout_s=timeout_s,
            max_bytes=LIMIT,
        )

    async with server:
        yield ask, asked
        done.set()


@pytest.fixture
def forwarded(server, api):
    """The same through the API server."""

    @asynccontextmanager
    async def pod(answer, *, hangs=False):
        asked = []

        async def serve(side):
            asked.append(await side.receive())
            if answer:
                await side.send(answer)
            if hangs:
                await side.receive()

        server.on_every("get", pod_port(serve))

        def ask(timeout_s=5.0):
            return ForwardedPages(api).get(
                namespace="prod",
                pod="changes-0",
                address="",
                port=8080,
                path="/status",
                timeout_s=timeout_s,
                max_bytes=LIMIT,
            )

        yield ask, asked

    return pod


@pytest.fixture(params=["by its IP", "through the API server"])
def pod(request, forwarded):
    return direct if request.param == "by its IP" else forwarded


async def test_the_page_is_what_comes_back(pod):
    async with pod(OK + b'{"revision": 7}') as (ask, asked):
        assert await ask() == b'{"revision": 7}'

    (request,) = asked
    assert request.startswith(b"GET /status HTTP/1.0\r\n")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(b"", "no HTTP", id="nothing"),
        pytest.param(b"\x16\x03\x01\x00", "no HTTP", id="TLS"),
        pytest.param(b"+PONG\r\n", "no HTTP", id="another protocol"),
        pytest.param(b"HTTP/1.0 404 Not Found\r\n\r\n", "status 404", id="no such page"),
        pytest.param(b"HTTP/1.0 503 Busy\r\n\r\n" + b"x" * 50, "status 503", id="busy"),
        pytest.param(OK + b"x" * (LIMIT + 1), "longer than 100 bytes", id="too long"),
        pytest.param(OK + b"x" * 100_000, "longer than 100 bytes", id="far too long"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nxx", "no HTTP", id="cut off"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no HTTP", id="no chunk"
        ),
        pytest.param(b"HTTP/1.0 200 OK\r\n" + b"a: b\r\n" * 200, "no HTTP", id="headers"),
    ],
)
async def test_what_is_no_page_is_said_in_words(pod, answer, words):
    async with pod(answer) as (ask, _):
        with pytest.raises(PageError, match=words):
            await ask()


async def test_a_page_as_long_as_may_be_is_read(pod):
    async with pod(OK + b"x" * LIMIT) as (ask, _):
        assert await ask() == b"x" * LIMIT


async def test_nobody_is_waited_for_longer_than_asked(pod):
    async with pod(b"", hangs=True) as (ask, _):
        with pytest.raises(PageError, match=r"no answer within 0\.1 s"):
            await ask(timeout_s=0.1)


async def test_a_pod_without_a_listener_is_said(unused_tcp_port):
    with pytest.raises(PageError, match=f"no connection to port {unused_tcp_port}"):
        await DirectPages().get(
            namespace="prod",
            pod="changes-0",
            address="127.0.0.1",
            port=unused_tcp_port,
            path="/status",
            timeout_s=5.0,
            max_bytes=LIMIT,
        )


async def test_what_the_api_server_refuses_is_said_in_its_words(server, forwarded):
    async with forwarded(b"") as (ask, _):
        server.on_every("get", answer_status(403, "Forbidden", "may not forward ports"))
        with pytest.raises(PageError, match="may not forward ports") as failure:
            await ask()

    assert isinstance(failure.value.__cause__, ForbiddenError)
