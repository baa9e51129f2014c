"""A cluster of three: learners, leadership, members that are frozen, dead or back."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from etcd.errors import (
    BadTransfereeError,
    EtcdError,
    LearnerNotReadyError,
    LearnerUnsupportedError,
    MemberExistsError,
    MemberNotFoundError,
    NotALearnerError,
    NotLeaderError,
    PeerURLExistsError,
    TooManyLearnersError,
    TransportCause,
    UnavailableError,
)
from etcd.kv_types import Put, Range
from etcd.retry import RetryPolicy, retry_read
from tests.integration.etcd.processes import Cluster, wait_for

OLD, NEW = "3.5.21", "3.6.16"
VOTERS = 3


@pytest.fixture(scope="module", params=[OLD, NEW])
def running(request, tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp(f"cluster-{request.param}"), request.param, VOTERS)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


@pytest.fixture
async def cluster(running, pool):
    """The three, all answering and agreed."""
    for member in running.members:
        client = pool.client(member.endpoint())
        await wait_for(lambda client=client: client.cluster.member_list(timeout_s=2))
    return running


@pytest.fixture
async def leader(cluster, pool):
    return await find(cluster, pool, leads=True)


@pytest.fixture
async def follower(cluster, pool):
    return await find(cluster, pool, leads=False)


async def find(cluster, pool, *, leads):
    """A client of a voter that leads, or of one that doesn't."""

    async def found():
        for member in cluster.members[:VOTERS]:
            client = pool.client(member.endpoint())
            status = await client.maintenance.status()
            if status.leader and status.is_leader is leads and not status.is_learner:
                return client
        return None

    return await wait_for(found)


async def test_every_member_answers_for_the_same_cluster(cluster, pool):
    lists = [await pool.client(m.endpoint()).cluster.member_list() for m in cluster.members]

    assert len({members.cluster_id for members in lists}) == 1
    assert len({members.members for members in lists}) == 1
    assert len({members.responder_id for members in lists}) == VOTERS


async def test_leadership_moves_only_from_the_leader_to_a_voter(cluster, pool, leader, follower):
    target = (await follower.maintenance.status()).member_id

    with pytest.raises(NotLeaderError):
        await follower.maintenance.move_leader(target)
    await leader.maintenance.move_leader(target)

    assert (await follower.maintenance.status()).is_leader


async def test_learner_is_added_refused_promoted_and_removed(cluster, pool, leader):
    learner = cluster.new_member()
    added = await add_when_healthy(leader, learner.peer_url)
    client = pool.client(learner.endpoint())
    try:
        assert added.member.is_learner
        assert not added.member.is_started
        await refusals_before_it_starts(leader, added.member, learner.peer_url)
        learner.start(cluster.initial_cluster(learner), state="existing")
        await wait_for(lambda: is_learning(client, added.member.id))
        await refusals_of_a_learner(client)
        with pytest.raises(BadTransfereeError):
            await leader.maintenance.move_leader(added.member.id)

        await promote_when_ready(leader, added.member.id)

        with pytest.raises(NotALearnerError):
            await leader.cluster.member_promote(added.member.id)
        assert not (await client.maintenance.status()).is_learner
    finally:
        await leave_when_healthy(leader, added.member.id)
        await removed_member_exits(learner)
    with pytest.raises(MemberNotFoundError):
        await leader.cluster.member_remove(added.member.id)


async def add_when_healthy(leader, peer_url):
    """Adds a learner; etcd refuses while its members are not connected for five seconds."""
    return await wait_for(lambda: leader.cluster.member_add(peer_urls=[peer_url]), every_s=0.2)


async def refusals_before_it_starts(leader, member, peer_url):
    with pytest.raises(LearnerNotReadyError):
        await leader.cluster.member_promote(member.id)
    with pytest.raises(TooManyLearnersError):
        await leader.cluster.member_add(peer_urls=["http://127.0.0.1:1"])
    # The ID is made of URL and second: within the same second it is the ID that exists.
    with pytest.raises((PeerURLExistsError, MemberExistsError)):
        await leader.cluster.member_add(peer_urls=[peer_url])
    found = (await leader.cluster.member_list()).by_peer_url(peer_url)
    assert member == found


async def is_learning(client, member_id):
    status = await client.maintenance.status()
    assert member_id == status.member_id
    return status.is_learner and status.leader


async def refusals_of_a_learner(client):
    refused = (
        client.cluster.member_list,
        client.maintenance.alarms,
        client.maintenance.hash_kv,
        client.maintenance.defragment,
        client.auth.status,
        client.health.is_serving,
    )
    for call in refused:
        with pytest.raises(LearnerUnsupportedError):
            await call()
    with pytest.raises(LearnerUnsupportedError):
        await client.kv.range(Range(key=b"k"))
    assert (await client.kv.range(Range(key=b"k", serializable=True))).header.member_id
    async with aclosing(client.maintenance.snapshot(timeout_s=20)) as stream:
        assert [chunk async for chunk in stream][-1].is_trailer


async def promote_when_ready(leader, member_id):
    async def promoted():
        after = await leader.cluster.member_promote(member_id)
        return not after.by_id(member_id).is_learner

    assert await wait_for(promoted)


async def leave_when_healthy(leader, member_id):
    async def left():
        try:
            after = await leader.cluster.member_remove(member_id)
        except MemberNotFoundError:
            return True
        return after.by_id(member_id) is None

    assert await wait_for(left)


async def removed_member_exits(member):
    async def exited():
        return member.process is None or member.process.poll() is not None

    try:
        await wait_for(exited)
    finally:
        member.kill()


async def test_frozen_member_ends_calls_at_their_deadline_and_comes_back(cluster, pool, follower):
    frozen_id = (await follower.maintenance.status()).member_id
    frozen = await member_with(cluster, pool, frozen_id)
    frozen.freeze()
    try:
        begin = asyncio.get_running_loop().time()
        with pytest.raises(UnavailableError) as raised:
            await follower.maintenance.status(timeout_s=0.5)
        assert TransportCause.DEADLINE is raised.value.cause
        assert asyncio.get_running_loop().time() - begin < 2
    finally:
        frozen.thaw()

    assert await wait_for(follower.maintenance.status, within_s=5)


async def member_with(cluster, pool, member_id):
    for member in cluster.members[:VOTERS]:
        status = await pool.client(member.endpoint()).maintenance.status()
        if status.member_id == member_id:
            return member
    raise AssertionError(f"nobody has the ID {member_id}")


async def test_lost_quorum_leaves_local_answers_only(cluster, pool):
    survivor, *others = cluster.members[:VOTERS]
    client = pool.client(survivor.endpoint())
    for other in others:
        other.freeze()
    try:
        await wait_for(lambda: knows_no_leader(client), within_s=10)

        local = await client.cluster.member_list(linearizable=False)
        assert len(local.members) == VOTERS
        with pytest.raises(EtcdError):
            await client.cluster.member_list(timeout_s=1)
        with pytest.raises(EtcdError) as raised:
            await client.kv.put(Put(key=b"k", value=b"v"), timeout_s=1)
        assert raised.value.maybe_applied
    finally:
        for other in others:
            other.thaw()

    assert await wait_for(lambda: client.cluster.member_list(timeout_s=2))


async def knows_no_leader(client):
    status = await client.maintenance.status()
    return status.leader is None and any("no leader" in text for text in status.errors)


async def test_member_that_is_back_is_noticed_within_a_second(cluster, pool, follower):
    member = await member_with(cluster, pool, (await follower.maintenance.status()).member_id)
    clock = asyncio.get_running_loop().time
    member.kill()
    await failing_for(follower, 4.0)
    member.start(state="existing")  # closed: the WAL knows the rest

    await wait_for(lambda: listening(member.client_port))
    back = clock()
    await wait_for(lambda: follower.maintenance.status(timeout_s=2), every_s=0.02)

    assert clock() - back < 1.5


async def failing_for(client, seconds):
    """Calls again and again for so many seconds, as observers do: backoff is at its cap."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        with pytest.raises(UnavailableError):
            await client.maintenance.status(timeout_s=1)
        await asyncio.sleep(0.05)


async def listening(port):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def test_reads_are_repeated_over_a_restart(cluster, pool, follower):
    member = await member_with(cluster, pool, (await follower.maintenance.status()).member_id)
    member.kill()
    member.start(state="existing")

    status = await retry_read(
        follower.maintenance.status, timeout_s=15, policy=RetryPolicy(attempts=60, cap_s=0.5)
    )

    assert status.member_id
