"""Clusters of one per version of etcd, shared by all tests; and what every test needs."""

from __future__ import annotations

import asyncio

import pytest

from etcd.dialer import DirectDialer
from etcd.pool import ChannelPool
from tests.integration.etcd.processes import VERSIONS, Cluster, wait_for


@pytest.fixture(scope="session", autouse=True)
def _no_implicit_event_loop():
    """Keeps `asyncio.get_event_loop()` from making a loop that nobody closes (sync test first)."""
    asyncio.set_event_loop(None)


@pytest.fixture
async def pool():
    opened = ChannelPool(DirectDialer())
    yield opened
    await opened.close()


@pytest.fixture(scope="session", params=VERSIONS)
def single(request, tmp_path_factory):
    """A cluster of one, of each version; started once."""
    cluster = Cluster(tmp_path_factory.mktemp(f"etcd-{request.param}"), request.param, 1)
    try:
        cluster.start()
        yield cluster.members[0]
    finally:
        cluster.kill()


@pytest.fixture
async def client(single, pool):
    """A client of `single`, which has elected itself."""
    found = pool.client(single.endpoint())
    await wait_for(lambda: found.cluster.member_list(timeout_s=2))
    return found
