"""Health and metrics endpoints, through real sockets on loopback."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from structlog.testing import capture_logs

from controllers.bind import Bind, parse_bind
from controllers.http import HttpServer, report
from controllers.metrics import new_registry

HEALTH, METRICS = Bind("127.0.0.1", 0), Bind("localhost", 0)


def passes() -> None:
    return


def fails() -> None:
    raise RuntimeError("password=hunter2")


@asynccontextmanager
async def serving(**options):
    options = {"health": HEALTH, "metrics": METRICS, "registry": CollectorRegistry()} | options
    server = HttpServer(**options)
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield server, session
    finally:
        await server.stop()


async def get(path: str, *, bind=HEALTH, headers=None, **options) -> tuple[int, str, str]:
    async with (
        serving(**options) as (server, session),
        session.get(f"http://127.0.0.1:{server.port(bind)}{path}", headers=headers) as answer,
    ):
        return answer.status, await answer.text(), answer.headers["Content-Type"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_m5_without_checks_it_is_healthy(path):
    status, text, _ = await get(path)

    assert (status, text) == (200, "ok")


async def test_live_and_ready_have_checks_of_their_own():
    live, ready = {"loop": passes}, {"informers": fails}

    assert (await get("/healthz", live=live, ready=ready))[0] == 200
    assert (await get("/readyz", live=live, ready=ready))[0] == 500


async def test_m5_failure_lists_the_checks_without_reasons():
    status, text, _ = await get("/readyz", ready={"a": passes, "b": fails})

    assert status == 500
    assert text == "[+]a ok\n[-]b failed: reason withheld\nreadyz check failed\n"


def test_reason_goes_to_the_log():
    with capture_logs() as logs:
        report("readyz", {"b": fails})

    assert logs[0]["check"] == "b"
    assert logs[0]["error"] == "password=hunter2"


@pytest.mark.parametrize("query", ["verbose", "verbose=", "verbose=true"])
async def test_m5_verbose_lists_the_checks(query):
    status, text, _ = await get(f"/healthz?{query}", live={"a": passes})

    assert (status, text) == (200, "[+]a ok\nhealthz check passed\n")


async def test_m5_excluded_checks_do_not_count():
    ready = {"a": fails, "b": fails, "c": passes}
    status, text, _ = await get("/readyz?exclude=a&exclude=b&verbose", ready=ready)

    assert status == 200
    assert text.startswith("[+]a excluded: ok\n[+]b excluded: ok\n[+]c ok\n")


async def test_unknown_exclusion_is_mentioned():
    _, text, _ = await get("/readyz?exclude=zzz&verbose", ready={"a": passes})

    assert "no matches for zzz" in text


@pytest.mark.parametrize(
    ("path", "status"), [("/readyz/a", 200), ("/readyz/b", 500), ("/readyz/zzz", 404)]
)
async def test_m5_each_check_has_a_path(path, status):
    assert (await get(path, ready={"a": passes, "b": fails}))[0] == status


async def test_metrics_are_served_as_prometheus_text():
    registry = CollectorRegistry()
    Counter("apples", "Apples.", registry=registry).inc()
    status, text, content_type = await get("/metrics", bind=METRICS, registry=registry)

    assert status == 200
    assert content_type.startswith("text/plain; version=")
    assert "apples_total 1.0" in text


async def test_metrics_are_served_as_openmetrics_when_asked():
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    _, text, content_type = await get("/metrics", bind=METRICS, headers=accept)

    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


async def test_loop_goes_on_while_metrics_are_written():
    """A value that can only be written once the loop has had a turn meanwhile."""
    turned = threading.Event()

    class Value(float):
        def __float__(self) -> float:
            assert turned.wait(5), "the loop waited for the text"
            return 1.0

    class Late(Collector):
        def collect(self):
            asyncio.get_running_loop().call_later(0.01, turned.set)
            yield GaugeMetricFamily("late", "", value=Value())

    registry = CollectorRegistry()
    registry.register(Late())
    status, text, _ = await get("/metrics", bind=METRICS, registry=registry)

    assert (status, "late 1.0" in text) == (200, True)


async def test_process_metrics_are_there():
    _, text, _ = await get("/metrics", bind=METRICS, registry=new_registry())

    assert "process_resident_memory_bytes" in text
    assert "python_gc_collections_total" in text


async def test_health_and_metrics_do_not_mix():
    assert (await get("/metrics", bind=HEALTH))[0] == 404
    assert (await get("/healthz", bind=METRICS))[0] == 404


async def test_one_address_can_serve_both():
    assert (await get("/metrics", metrics=HEALTH))[0] == 200
    assert (await get("/healthz", metrics=HEALTH))[0] == 200


async def test_part_that_is_off_does_not_listen():
    async with serving(metrics=None) as (server, _):
        with pytest.raises(KeyError):
            server.port(METRICS)


async def test_address_in_use_is_an_error_and_leaves_nothing_behind():
    async with serving() as (first, _):
        taken = Bind("127.0.0.1", first.port(HEALTH))
        second = HttpServer(health=METRICS, metrics=taken, registry=CollectorRegistry())
        with pytest.raises(OSError, match="address already in use"):
            await second.start()
        with pytest.raises(KeyError):
            second.port(METRICS)


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:8080", Bind("127.0.0.1", 8080)),
        (":8080", Bind(None, 8080)),
        ("[::1]:8080", Bind("::1", 8080)),
        ("localhost:0", Bind("localhost", 0)),
        ("0", None),
        ("", None),
    ],
)
def test_binds_are_read(text, bind):
    assert parse_bind(text) == bind


@pytest.mark.parametrize("text", ["8080", "host", "host:", ":http", ":65536", "::1:80", ":-1"])
def test_malformed_binds_are_refused(text):
    with pytest.raises(ValueError, match="not host:port"):
        parse_bind(text)
