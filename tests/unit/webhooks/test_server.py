"""The admission server through real sockets on loopback."""

import asyncio
import gzip
import io
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.unit.api.manifests import cluster
from tests.unit.webhooks.requests import ScriptedRules, review, started
from webhooks import server as module
from webhooks.server import MOST_BYTES, PATH, AdmissionServer


class Seen(list):
    """What was counted; `first` is set once there is something."""

    def __init__(self):
        super().__init__()
        self.first = asyncio.Event()


class Observed:
    def __init__(self):
        self.seen = Seen()

    def on_review(self, kind, operation, outcome, seconds):
        assert seconds >= 0
        self.seen.append((kind, operation, outcome))
        self.seen.first.set()


@asynccontextmanager
async def serving(rules=None):
    """A server, a way to post to it, and what its observer has seen."""
    observer = Observed()
    server = AdmissionServer(
        host="127.0.0.1", port=0, tls=None, rules=rules or ScriptedRules(), observer=observer
    )
    await server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:

            async def post(body, path=PATH, **options):
                data = io.BytesIO(body) if isinstance(body, bytes) else body
                async with session.post(path, data=data, **options) as answer:
                    return answer.status, await answer.text()

            yield server, post, observer.seen
    finally:
        await server.stop()


async def test_requests_are_answered_and_counted():
    async with serving() as (_, post, seen):
        for body, allowed in (
            (review(cluster()), True),
            (review(cluster({"size": 2})), False),
            (review(stored=started({"storage": {"deletionPolicy": "Delete"}})), False),
        ):
            status, text = await post(body)
            assert status == 200
            assert json.loads(text)["response"]["allowed"] is allowed

    assert seen == [
        ("EtcdCluster", "CREATE", "allowed"),
        ("EtcdCluster", "CREATE", "refused"),
        ("EtcdCluster", "DELETE", "refused"),
    ]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{}", 400), (b"x" * (MOST_BYTES + 1), 413)],
    ids=["empty", "no request", "too large"],
)
async def test_what_is_no_request_is_answered_plainly(body, status):
    async with serving() as (_, post, seen):
        found, text = await post(body)

    assert found == status
    assert len(text.splitlines()) == 1
    assert seen == [("unknown", "unknown", "unreadable")]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no gzip at all", 400),
        (gzip.compress(review(cluster()))[:-60], 400),
        (gzip.compress(b" " * (MOST_BYTES + 1)), 413),
    ],
    ids=["garbage", "cut", "bomb"],
)
async def test_a_body_that_does_not_unpack_is_answered_plainly(body, status):
    async with serving() as (_, post, _):
        found, text = await post(body, headers={"Content-Encoding": "gzip"})

    assert found == status, text
    assert "Traceback" not in text


async def test_labels_of_metrics_are_few_whatever_is_sent():
    strange = {"kind": {"group": "etcd.etcd.io", "kind": "x" * 99}, "operation": "y" * 99}
    async with serving() as (_, post, seen):
        await post(review(cluster(), **strange))

    assert seen == [("unknown", "unknown", "allowed")]


@pytest.mark.parametrize(("method", "path"), [("GET", PATH), ("POST", "/"), ("POST", "/mutate")])
async def test_nothing_else_is_served(method, path):
    async with (
        serving() as (server, _, _),
        aiohttp.request(method, f"http://127.0.0.1:{server.port}{path}") as answer,
    ):
        assert answer.status in {404, 405}


class Broken(ScriptedRules):
    def refusals(self, cluster, stored):
        raise ZeroDivisionError("password=hunter2")


async def test_a_defect_is_logged_and_not_shown():
    async with serving(Broken()) as (_, post, seen):
        with capture_logs() as logs:
            status, text = await post(review(cluster()))

    assert status == 500
    assert "hunter2" not in text
    assert "Traceback" not in text
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert seen == [("EtcdCluster", "CREATE", "failed")]


class Slow(ScriptedRules):
    async def is_ending(self, namespace):
        await asyncio.Event().wait()


async def test_a_request_has_a_deadline(monkeypatch):
    monkeypatch.setattr(module, "DEADLINE_S", 0.05)
    async with serving(Slow()) as (_, post, seen):
        status, _ = await post(review(stored=started({"storage": {"deletionPolicy": "Delete"}})))

    assert status == 408
    assert seen == [("EtcdCluster", "DELETE", "failed")]


async def test_a_body_that_does_not_end_has_a_deadline(monkeypatch):
    monkeypatch.setattr(module, "DEADLINE_S", 0.05)

    async def never_ending():
        yield b"{"
        await asyncio.Event().wait()

    async with serving() as (_, post, seen):
        status, _ = await asyncio.wait_for(post(never_ending()), 5)

    assert status == 408
    assert seen == [("unknown", "unknown", "failed")]


async def test_a_caller_who_hangs_up_is_no_defect():
    async with serving() as (server, _, seen):
        with capture_logs() as logs:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
            writer.write(head.encode() + b'{"apiVersion":')
            await writer.drain()
            writer.close()
            async with asyncio.timeout(5):
                await seen.first.wait()

    assert seen == [("unknown", "unknown", "unreadable")]
    assert not logs


async def test_an_address_that_is_taken_is_an_error_and_leaves_nothing_behind():
    async with serving() as (server, _, _):
        another = AdmissionServer(
            host="127.0.0.1",
            port=server.port,
            tls=None,
            rules=ScriptedRules(),
            observer=Observed(),
        )
        with pytest.raises(OSError, match="address already in use"):
            await another.start()
        await another.stop()


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=10))
async def test_any_bytes_get_a_clean_answer(bodies):
    async with serving() as (_, post, _):
        for body in bodies:
            status, text = await post(body)
            assert status == 400
            assert "Traceback" not in text
        assert (await post(review(cluster())))[0] == 200


@settings(max_examples=30)
@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=5))
async def test_any_bytes_on_the_connection_harm_nobody_else(chunks):
    async with serving() as (server, post, _):
        for chunk in chunks:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(chunk + b"\r\n\r\n")
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            assert b"Traceback" not in answer
        assert (await post(review(cluster())))[0] == 200
