"""Each store once per session; every test has a prefix of its own in it."""

from __future__ import annotations

import uuid

import pytest

from etcd.dialer import DirectDialer
from etcd.pool import ChannelPool
from snapshots.stores import open_store
from tests.integration.snapshots.servers import STORES


@pytest.fixture(scope="session", params=STORES)
def server(request, tmp_path_factory):
    running = STORES[request.param](tmp_path_factory.mktemp(request.param))
    try:
        running.start()
        yield running
    finally:
        running.kill()


@pytest.fixture
def prefix():
    return f"tests/{uuid.uuid4().hex}"


@pytest.fixture
def store(server, prefix):
    return open_store(server.location(prefix), server.credentials)


@pytest.fixture
async def pool():
    opened = ChannelPool(DirectDialer())
    yield opened
    await opened.close()
