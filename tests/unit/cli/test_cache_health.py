"""The assembled operator when the API server refuses a cache: what probes and scrapes see."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest

from cli.assembly import assemble
from cli.settings import Settings
from controllers.io_metrics import RequestMetrics
from tests.integration.ports import free_port
from tests.unit.informers.api_faults import answer_status

pytestmark = pytest.mark.looptime

FAILING = 'etcd_operator_cache_failing{namespace="",resource="services"}'
SYNCED = 'etcd_operator_cache_synced{namespace="",resource="services"}'


@asynccontextmanager
async def operator(api):
    """The running operator's `get`: path → status and body, of health and metrics alike."""
    bind = f"127.0.0.1:{free_port()}"
    settings = Settings(metrics_bind=bind, health_bind=bind, cluster_domain="cluster.local")
    running = assemble(settings, api, RequestMetrics())

    async def get(path):
        async with session.get(f"http://{bind}{path}") as answer:
            return answer.status, await answer.text()

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        group.create_task(running.manager.run())
        yield get
        running.manager.stop()
    await running.channels.close()


async def wait_for(get, path, expected):
    """The answer, once `expected(status, body)` holds."""
    async with asyncio.timeout(100):
        while True:
            try:
                status, body = await get(path)
            except aiohttp.ClientConnectionError:
                status, body = 0, ""
            if expected(status, body):
                return status, body
            await asyncio.sleep(0.1)


def refuse_services(code):
    async def step(request):
        if request.path.endswith("/services"):
            return await answer_status(code)(request)
        return None

    return step


@pytest.mark.parametrize("code", [401, 403, 404])
async def test_r18_refused_cache_is_seen_in_readiness_and_metrics(server, api, code):
    server.on_every("*", refuse_services(code))
    async with operator(api) as get:
        await wait_for(get, "/metrics", lambda _, body: f"{FAILING} 1.0" in body)
        status, text = await get("/readyz")
        assert status == 500
        assert "[-]cache-services failed" in text

        server.on_every("*", None)
        await wait_for(get, "/readyz", lambda status, _: status == 200)
        _, metrics = await get("/metrics")
        assert f"{FAILING} 0.0" in metrics
        assert f"{SYNCED} 1.0" in metrics


async def test_r18_watch_refused_later_is_seen_in_metrics_while_the_cache_serves(server, api):
    """Readiness stays: the cache can be worked with, and a restart would mend nothing."""
    async with operator(api) as get:
        await wait_for(get, "/readyz", lambda status, _: status == 200)
        server.on_every("*", refuse_services(403))
        server.end_watches()
        await wait_for(get, "/metrics", lambda _, body: f"{FAILING} 1.0" in body)
        assert (await get("/readyz"))[0] == 200
