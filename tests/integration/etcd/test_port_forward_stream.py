"""200 MB of a real etcd through a port-forward: all of it arrives, and memory stays where it is."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from controllers.port_forward_dialer import PortForwardDialer
from etcd.kv_types import Put
from etcd.pool import ChannelPool
from informers.wire import connect_to
from tests.integration.etcd.processes import Cluster, wait_for
from tests.unit.controllers.test_port_forward_dialer import Always, to
from tests.unit.informers.api_server import running_server

VERSION = "3.6.16"
PIECES, PIECE_BYTES = 200, 2**20
# gRPC's own windows and buffers are a few MB; what piles up would be the stream's size.
LIMIT_MB = 64.0


@pytest.fixture
def member(tmp_path):
    cluster = Cluster(tmp_path, VERSION, 1)
    try:
        cluster.start()
        yield cluster.members[0]
    finally:
        cluster.kill()


@pytest.fixture
async def forwarding(member):
    """A pool that reaches the member only through port-forwards of a scripted API server."""
    async with running_server() as server:
        server.on_every("get", to(member.client_port))
        async with await connect_to(Always(server.url), user_agent="t") as api:
            pool = ChannelPool(PortForwardDialer(api))
            yield pool
            await pool.close()


def resident_mb():
    """What this process has in memory now: the operator's side, and the scripted node's."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


async def test_200_mb_pass_in_bounded_memory(member, forwarding, capsys):
    client = forwarding.client(member.endpoint())
    await wait_for(lambda: client.cluster.member_list(timeout_s=2))
    before = most = resident_mb()
    for number in range(PIECES):
        await client.kv.put(Put(key=b"%d" % number, value=os.urandom(PIECE_BYTES)), timeout_s=20)
        most = max(most, resident_mb())
    received = 0
    async for chunk in client.maintenance.snapshot():
        received += len(chunk.blob)
        most = max(most, resident_mb())
    with capsys.disabled():
        passed = (PIECES * PIECE_BYTES + received) / 1e6
        grew = most - before
        print(f"\n{passed:.0f} MB passed, memory grew by {grew:.0f} MB")  # noqa: T201 - to be seen

    assert received > PIECES * PIECE_BYTES
    assert most - before < LIMIT_MB
