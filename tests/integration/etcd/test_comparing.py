"""The members' data is compared as real etcd answers: over a change of version, over compactions,
and where an idle cluster can't be compared at all until somebody writes.
"""

from __future__ import annotations

import pytest

from controllers.cluster.act_version import perform_on_version
from controllers.cluster.outcome import Hashed, NotYet
from controllers.cluster.plan.version_steps import CompareHashes
from etcd.kv_types import Put
from tests.integration.etcd.processes import Cluster, wait_for
from tests.unit.controllers.cluster.test_upgrade import going

V35, V36 = "3.5.35", "3.6.16"


class Three:
    """A cluster of three, and the step that compares them."""

    def __init__(self, cluster, pool):
        self.cluster = cluster
        self.clients = {m.name: pool.client(m.endpoint()) for m in cluster.members}

    async def leader(self):
        async def found():
            told = {name: await c.maintenance.status() for name, c in self.clients.items()}
            leaders = {status.leader for status in told.values()}
            indexes = {status.raft_applied_index for status in told.values()}
            if len(leaders) > 1 or len(indexes) > 1:
                return None
            return next((self.clients[n] for n, s in told.items() if s.is_leader), None)

        return await wait_for(found)

    async def put(self, value):
        return (await (await self.leader()).kv.put(Put(key=b"k", value=value))).header.revision

    async def compact(self, revision):
        await (await self.leader()).kv.compact(revision, physical=True)

    async def compare(self, known=None):
        """Asked once all have come equally far."""
        step = CompareHashes(known=known, under_way=going("v3.5.35", "v3.6.16"), then=None)
        return await perform_on_version(step, self.clients, await self.leader(), timeout_s=5.0)

    async def restart(self, member, version):
        await member.restart(version)
        await self.leader()


@pytest.fixture(params=[V35, V36])
async def three(request, tmp_path, pool):
    cluster = Cluster(tmp_path, request.param, 3)
    try:
        cluster.start()
        yield Three(cluster, pool)
    finally:
        cluster.kill()


async def test_data_is_what_it_was_after_every_member_was_restarted_on_the_next_version(three):
    for value in (b"1", b"2", b"3"):
        await three.put(value)
    before = await three.compare()
    assert isinstance(before, Hashed)

    for member in three.cluster.members:
        await three.restart(member, V36)
    await three.put(b"4")

    assert await three.compare(before.hash) == before


async def test_what_was_compacted_since_is_compared_anew(three):
    await three.put(b"1")
    before = await three.compare()
    last = await three.put(b"2")
    await three.compact(last)
    await three.put(b"3")

    after = await three.compare(before.hash)

    assert isinstance(after, Hashed)
    assert after.hash.revision > before.hash.revision


async def test_idle_cluster_that_was_compacted_to_its_end_is_not_until_somebody_writes(three):
    """Why there is a deadline: of the same data, compacted up to its last revision, a member that
    was restarted tells another hash than one that was not.
    """
    await three.put(b"1")
    await three.compact(await three.put(b"2"))
    await three.restart(three.cluster.members[0], three.cluster.version)

    tries = [await three.compare() for _ in range(3)]
    assert all(isinstance(outcome, NotYet) for outcome in tries), tries

    await three.put(b"3")
    assert isinstance(await three.compare(), Hashed)
