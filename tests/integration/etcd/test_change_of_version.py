"""What real etcd does when members change their version: up, down, half-way, and by mistake.

The planner's rules for versions stand on these facts (`controllers/cluster/plan/upgrade.py`).
"""

from __future__ import annotations

import asyncio
import json
import urllib.request

import pytest

from etcd.errors import (
    DowngradeInProgressError,
    DowngradeTargetError,
)
from etcd.ids import MemberID
from etcd.kv_types import Put
from etcd.maintenance import Alarm, AlarmKind
from etcd.versions import SNAPSHOT_COUNT, parse_version
from tests.integration.etcd.processes import Cluster, logged, wait_for

OLDEST, V35, V36, V37 = "3.5.21", "3.5.35", "3.6.16", "3.7.3"
PAIRS = pytest.mark.parametrize(("low", "high"), [(V35, V36), (V36, V37)])
# etcd looks every five seconds whether its versions have to change.
FOLLOWS_S = 15.0
AT_ONCE = 64
FORBIDDEN = "invalid downgrade; server version is lower than determined cluster version"
REFUSAL = "discovery failed"

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def make(tmp_path):
    """Makes a cluster, whose members end with the test."""
    made = []

    def start(version, size=3, **extra):
        cluster = Cluster(tmp_path / f"cluster-{len(made)}", version, size, extra=extra)
        cluster.learners = []
        made.append(cluster)
        cluster.start()
        return cluster

    yield start
    for cluster in made:
        for member in [*cluster.members, *cluster.learners]:
            member.kill()


@pytest.fixture
def look(pool):
    return Look(pool)


class Look:
    """What the members say, and waiting for it."""

    def __init__(self, pool):
        self.pool = pool

    def client(self, member):
        return self.pool.client(member.endpoint())

    async def status(self, member):
        return await self.client(member).maintenance.status(timeout_s=2)

    async def answers(self, cluster):
        """Every member answers, through the quorum."""
        for member in cluster.members:
            client = self.client(member)
            await wait_for(lambda client=client: client.cluster.member_list(timeout_s=2))

    async def leader(self, cluster):
        async def found():
            for member in cluster.members:
                if (await self.status(member)).is_leader:
                    return member
            return None

        return await wait_for(found)

    async def move_leader(self, cluster, member):
        leader = await self.leader(cluster)
        if leader is not member:
            target = (await self.status(member)).member_id
            await self.client(leader).maintenance.move_leader(target)

    async def has_versions(self, cluster, minor):
        """All agree on the cluster's version, and store their data in it."""
        return all([await self._has_version(member, minor) for member in cluster.members])

    async def follow(self, cluster, minor):
        await wait_for(lambda: self.has_versions(cluster, minor), within_s=FOLLOWS_S)

    async def _has_version(self, member, minor):
        status = await self.status(member)
        stores = status.storage_version or f"{minor}.0"
        return f"{minor}.0" == stores == await cluster_version(member)

    async def hashes(self, cluster, revision):
        """The members' hashes at one revision, which every one of them has reached."""

        async def of(member):
            return (await self.client(member).maintenance.hash_kv(revision=revision)).hash

        return {await wait_for(lambda m=member: of(m)) for member in cluster.members}

    async def snapshot_is_behind(self, member, index):
        """The member has put its log up to an index behind a snapshot."""
        names = [file.stem for file in (member.folder / "data/member/snap").glob("*.snap")]
        return any(int(name.split("-")[1], 16) > index for name in names)


async def cluster_version(member):
    """`3.6.0`: what the member takes for the version of all; only HTTP tells."""

    def get():
        with urllib.request.urlopen(f"{member.client_url}/version", timeout=2) as answer:
            return json.load(answer)["etcdcluster"]

    return await asyncio.to_thread(get)


def minor_of(version):
    return parse_version(version).minor_version


# ---------------------------------------------------------------- up
@PAIRS
async def test_last_member_moves_the_versions_and_bars_the_way_back(make, look, low, high):
    cluster = make(low)
    first, second, last = cluster.members
    await look.answers(cluster)
    await look.follow(cluster, minor_of(low))
    put = await look.client(last).kv.put(Put(key=b"k", value=b"v"))
    before = await look.hashes(cluster, put.header.revision)

    await first.restart(high)
    await look.answers(cluster)
    await look.client(first).kv.put(Put(key=b"k", value=b"mixed"))
    assert minor_of(low) == minor_of((await look.status(first)).storage_version)
    assert await look.hashes(cluster, put.header.revision) == before
    await first.restart(low)
    await look.answers(cluster)
    for member in (first, second, last):
        assert f"{minor_of(low)}.0" == await cluster_version(member)
        await member.restart(high)
        await look.answers(cluster)
    await look.follow(cluster, minor_of(high))

    assert await look.hashes(cluster, put.header.revision) == before
    await second.restart(low)
    assert await second.exit_code() == 1
    refusal = logged(second.log, FORBIDDEN) or logged(second.log, REFUSAL)
    assert refusal["level"] == "fatal"
    await second.restart(high)
    await look.answers(cluster)
    assert await look.hashes(cluster, put.header.revision) == before


async def test_lower_patch_of_the_same_minor_version_starts(make, look):
    cluster = make(V35, 1)
    (member,) = cluster.members
    await look.answers(cluster)

    await member.restart(OLDEST)

    await look.answers(cluster)
    assert (await look.status(member)).version == OLDEST


@pytest.mark.parametrize("advanced", [False, True], ids=["not-advanced", "advanced"])
async def test_log_of_3_5_ends_3_7_until_a_later_snapshot(make, look, advanced):
    cluster = make(V35, 1)
    (member,) = cluster.members
    await look.answers(cluster)
    await look.follow(cluster, "3.5")
    await member.restart(V36)
    await look.answers(cluster)
    await look.follow(cluster, "3.6")
    if advanced:
        client = look.client(member)
        index, revision = await position(look, member)
        await advance_log(client, SNAPSHOT_COUNT + 1)
        assert await position(look, member) == (index + SNAPSHOT_COUNT + 1, revision)
        assert await look.snapshot_is_behind(member, index)

    learner = await add_learner(cluster, look, member, V37)
    if advanced:
        await lives(look, learner)
        await advance_log(client, 1)
        await wait_for(lambda: is_learning(look, learner))
        await member.restart(V37)
        await look.answers(cluster)
        await wait_for(lambda: promoted(look, member, learner))
    else:
        assert await learner.exit_code() == 2
        assert unreadable(learner)
        await member.restart(V37)
        assert await member.exit_code() == 2
        assert unreadable(member)
        await member.restart(V36)
        await look.answers(cluster)


async def test_two_minor_versions_at_once_are_not_refused_by_etcd(make, look):
    cluster = make(V35, 1, **{"snapshot-count": 1})
    (member,) = cluster.members
    await look.answers(cluster)
    await look.follow(cluster, "3.5")
    for _ in range(3):
        await look.client(member).kv.put(Put(key=b"k", value=b"v"))

    await member.restart(V37)

    await look.answers(cluster)
    await look.follow(cluster, "3.7")


async def position(look, member):
    status = await look.status(member)
    return status.raft_applied_index, status.revision


async def advance_log(client, entries):
    """Adds entries to the log that change nothing: nobody has raised this alarm."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one():
        async with slots:
            await client.maintenance.disarm(Alarm(member_id=MemberID(0), kind=AlarmKind.NOSPACE))

    await asyncio.gather(*(one() for _ in range(entries)))


async def lives(look, learner):
    """A member that was sent a snapshot beyond entry 5000 has "applied" nothing to itself until the
    next entry comes, and so lets no request of its own through: it does not get ready.  Unless its
    first one comes in the millisecond in which the snapshot is taken over.
    """

    async def said():
        waits = "etcdserver: too many requests" in learner.log.read_text()
        return waits or await is_learning(look, learner)

    await wait_for(said)


def unreadable(member):
    entry = logged(member.log, "execute job failed")
    return entry["level"] == "panic" and "cannot parse invalid wire-format data" in entry["panic"]


# ---------------------------------------------------------------- down
@PAIRS
async def test_downgrade_admits_nobody_and_ends_by_itself(make, look, low, high):
    cluster = make(high)
    await look.answers(cluster)
    await look.follow(cluster, minor_of(high))
    leader = await look.leader(cluster)
    asked = look.client(leader).maintenance
    put = await look.client(leader).kv.put(Put(key=b"k", value=b"v"))
    before = await look.hashes(cluster, put.header.revision)
    await refuse_other_targets(asked, high)

    await asked.downgrade_validate(minor_of(low))
    await asked.downgrade_enable(minor_of(low))
    with pytest.raises(DowngradeInProgressError):
        await asked.downgrade_enable(minor_of(low))
    await look.follow(cluster, minor_of(low))
    with pytest.raises(DowngradeTargetError):
        await asked.downgrade_enable(minor_of(low))
    assert f"{minor_of(low)}.0" == (await look.status(leader)).downgrade.target_version
    for version in (low, high):
        await cannot_join(cluster, look, leader, version)

    first, second = (member for member in cluster.members if member is not leader)
    for version in (low, high, low):
        await first.restart(version)
        await look.answers(cluster)
    await second.restart(low)
    await look.answers(cluster)
    await look.move_leader(cluster, first)
    await leader.restart(low)
    await look.answers(cluster)
    await wait_for(lambda: downgrade_is_over(cluster), within_s=FOLLOWS_S)
    assert await look.has_versions(cluster, minor_of(low))
    assert await look.hashes(cluster, put.header.revision) == before


async def test_downgrade_waits_for_a_learner_that_never_started(make, look):
    cluster = make(V37, 1)
    (member,) = cluster.members
    await look.answers(cluster)
    await look.follow(cluster, "3.7")
    client = look.client(member)
    absent = await add_learner(cluster, look, member, V37, start=False)

    await client.maintenance.downgrade_validate("3.6")
    await client.maintenance.downgrade_enable("3.6")

    await has_looked_at(member, absent)
    assert await look.has_versions(cluster, "3.7")
    await client.cluster.member_remove(absent.id)
    await look.follow(cluster, "3.6")


async def refuse_other_targets(asked, high):
    major, minor, _ = (int(part) for part in high.split("."))
    for target in (minor, minor - 2):
        with pytest.raises(DowngradeTargetError):
            await asked.downgrade_validate(f"{major}.{target}")
    await asked.downgrade_cancel()  # of nothing: no error


async def has_looked_at(leader, absent):
    """The leader has asked the absent member for its version after the downgrade was enabled."""
    refusals = count_of(leader, absent.peer_url)

    async def again():
        return count_of(leader, absent.peer_url) > refusals

    await wait_for(again, within_s=FOLLOWS_S)


def count_of(member, peer_url):
    lines = member.log.read_text().splitlines()
    return sum(f"{peer_url}/version" in line and "fail" in line for line in lines)


async def cannot_join(cluster, look, leader, version):
    learner = await add_learner(cluster, look, leader, version)
    assert await learner.exit_code() == 1
    refusal = logged(learner.log, REFUSAL)
    assert refusal["error"] == "incompatible with current running cluster"
    await look.client(leader).cluster.member_remove(learner.id)


async def downgrade_is_over(cluster):
    """What `Status` tells from 3.6 on, and the port for peers in every version."""

    def enabled(member):
        url = f"{member.peer_url}/downgrade/enabled"
        with urllib.request.urlopen(url, timeout=8) as answer:
            return json.load(answer)

    return not any([await asyncio.to_thread(enabled, member) for member in cluster.members])


@PAIRS
async def test_downgrade_called_off_half_way_leaves_a_mixed_cluster(make, look, low, high):
    cluster = make(high)
    first, _, leader = cluster.members
    await look.answers(cluster)
    await look.follow(cluster, minor_of(high))
    await look.move_leader(cluster, leader)
    asked = look.client(leader).maintenance
    put = await look.client(leader).kv.put(Put(key=b"k", value=b"v"))
    before = await look.hashes(cluster, put.header.revision)
    await asked.downgrade_enable(minor_of(low))
    await look.follow(cluster, minor_of(low))
    await first.restart(low)
    await look.answers(cluster)

    await asked.downgrade_cancel()

    assert (await look.status(leader)).downgrade is None
    await first.restart(low)
    await look.answers(cluster)
    learner = await add_learner(cluster, look, leader, low)
    await wait_for(lambda: was_sent_the_data(learner))
    assert await look.has_versions(cluster, minor_of(low))
    assert await look.hashes(cluster, put.header.revision) == before
    await look.client(leader).cluster.member_remove(learner.id)
    await first.restart(high)
    await look.answers(cluster)
    await look.follow(cluster, minor_of(high))
    assert await look.hashes(cluster, put.header.revision) == before


async def test_downgrade_called_off_with_nobody_lower_bars_the_way_again(make, look):
    cluster = make(V36, 1)
    (member,) = cluster.members
    await look.answers(cluster)
    await look.follow(cluster, "3.6")
    await look.client(member).maintenance.downgrade_enable("3.5")
    await look.follow(cluster, "3.5")
    await member.restart(V36)
    await look.answers(cluster)

    await look.client(member).maintenance.downgrade_cancel()

    await look.follow(cluster, "3.6")
    await member.restart(V35)
    assert await member.exit_code() == 1
    assert logged(member.log, FORBIDDEN)


# ---------------------------------------------------------------- hashes
@pytest.mark.parametrize("version", [V35, V36, V37])
async def test_hash_at_the_compacted_revision_changes_with_a_restart(make, look, version):
    cluster = make(version, 1)
    (member,) = cluster.members
    await look.answers(cluster)
    client = look.client(member)
    for value in (b"1", b"2", b"3"):
        put = await client.kv.put(Put(key=b"k", value=value))
    compacted = put.header.revision
    await client.kv.compact(compacted, physical=True)

    cached = await client.maintenance.hash_kv(revision=compacted)
    await member.restart(version)
    await look.answers(cluster)
    computed = await client.maintenance.hash_kv(revision=compacted)
    put = await client.kv.put(Put(key=b"k", value=b"4"))
    later = await client.maintenance.hash_kv(revision=put.header.revision)

    assert cached.compact_revision < compacted == computed.compact_revision
    assert cached.hash != computed.hash
    assert later.compact_revision == compacted


# ---------------------------------------------------------------- learners
async def add_learner(cluster, look, via, version, *, start=True):
    """Adds a member as a learner once etcd allows it, and starts it; `id` is the one etcd gave."""
    learner = cluster.new_member()
    learner.version = version
    cluster.learners.append(learner)
    client = look.client(via)
    added = await wait_for(lambda: client.cluster.member_add(peer_urls=[learner.peer_url]))
    learner.id = added.member.id
    if start:
        learner.start(cluster.initial_cluster(learner), state="existing")
    return learner


async def was_sent_the_data(learner):
    return logged(learner.log, "applied snapshot")


async def is_learning(look, learner):
    status = await look.status(learner)
    return status.is_learner and status.leader and status.member_id == learner.id


async def promoted(look, via, learner):
    await look.client(via).cluster.member_promote(learner.id)
    return True
