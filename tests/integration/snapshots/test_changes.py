"""Changes of a real etcd are kept while it lives, and replayed into another one as they were."""

from __future__ import annotations

import asyncio
import random

import pytest

from etcd.errors import EtcdError
from etcd.kv_types import Put, Range
from snapshots.changes import archiver
from snapshots.changes.history import read_chains, way_to_revision, way_to_time, windows_of
from snapshots.changes.reading import read_changes
from snapshots.changes.replay import Target, replay
from snapshots.encryption import EncryptionKey
from snapshots.errors import (
    BaseNeededError,
    FencedError,
    NotRestorableError,
    ReplayError,
    WrongSourceError,
)
from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.stores import open_store
from tests.integration.etcd.processes import wait_for
from tests.integration.snapshots.changing import (
    Archiver,
    Flaky,
    Life,
    Restoring,
    backup,
    log_of,
    reached,
    request,
)
from tests.integration.snapshots.etcds import keys_at, started

pytestmark = pytest.mark.timeout(240)

VERSIONS = ["3.5.21", "3.6.16", "3.7.3"]
KEY = EncryptionKey(id="2026-01", secret=bytes(range(32)))


@pytest.fixture
def store(tmp_path):
    (tmp_path / "store").mkdir()
    return open_store(LocalLocation(folder=tmp_path / "store"), WorkloadIdentity())


@pytest.fixture
def _fast_retries(monkeypatch):
    monkeypatch.setattr(archiver, "_STORE_RETRY_S", 0.05)


def moved(kvs, base, by):
    """Those keys with the revisions that they have where revisions after the base are moved."""
    return tuple(
        (
            kv.key,
            kv.value,
            kv.create_revision + (by if kv.create_revision > base else 0),
            kv.mod_revision + (by if kv.mod_revision > base else 0),
            kv.version,
            kv.lease,
        )
        for kv in kvs
    )


async def lease_times(client, kvs):
    """For how long each lease of the keys was granted."""
    found = {}
    for lease in {kv.lease for kv in kvs if kv.lease}:
        found[lease] = (await client.lease.time_to_live(lease)).granted_ttl_s
    return found


@pytest.mark.usefixtures("_fast_retries")
@pytest.mark.parametrize("version", VERSIONS)
async def test_every_revision_is_restored_as_it_was(pool, store, tmp_path, version):
    """The archiver dies at random moments, the store fails, compactions follow behind."""
    chance = random.Random(version)
    async with started(pool, tmp_path / "source", version) as (_, (client,)):
        life, log = Life(client, chance), await log_of(client)
        await life.begin()
        await life.rounds(60)
        manifest, base = await backup(client, store, "one")
        life.states.clear()
        await life.note()
        flaky = Flaky(store, chance)
        one = Archiver(client, flaky, request(log, key=KEY), base)
        async with one.cut_again_and_again(chance):
            await life.put_many()
            await life.note()
            await life.end_many()
            await life.rounds(900, kept=lambda: one.progress.revision or 0)
        flaky.fails = False
        last = await life.note()
        await one.kept(last)
        await one.finish()

    restoring = Restoring(pool, store, log, tmp_path, version)
    (chain,) = await restoring.chains()
    assert chain.last.last_revision >= last
    assert chain.segments > 3
    way = way_to_revision([base], [chain], last)
    async with restoring.at(way, manifest, Target(revision=last), keys=[KEY]) as (done, copy):
        assert (done.revision, done.revisions) == (last, last - base.revision)
        assert len(life.states) > 30
        for revision, kvs in life.states.items():
            assert await keys_at(copy, revision) == kvs, revision
        times = await lease_times(copy, life.states[last])
        assert times == {lease: life.granted[lease] for lease in times}
    # And stopped at one in the middle of a segment, with revisions that are counted from elsewhere.
    middle = chance.choice(sorted(life.states)[1:-1])
    way, bump = way_to_revision([base], [chain], middle), 1_000_000
    async with restoring.at(way, manifest, Target(revision=middle), bump=bump, keys=[KEY]) as (
        done,
        copy,
    ):
        assert done.revision == middle
        found = moved(await keys_at(copy), 0, 0)
        assert found == moved(life.states[middle], base.revision, bump)


@pytest.mark.parametrize("version", VERSIONS)
async def test_state_of_a_time_is_restored(pool, store, tmp_path, version):
    chance = random.Random(version)
    async with started(pool, tmp_path / "source", version) as (_, (client,)):
        life, log = Life(client, chance), await log_of(client)
        manifest, base = await backup(client, store, "one")
        one = Archiver(client, store, request(log), base)
        one.start()
        for _ in range(3):
            await life.note_time(one.progress)
            for number in range(20):
                await client.kv.put(Put(key=b"key-%d" % number, value=chance.randbytes(10)))
        await one.kept(await life.note())
        await one.finish()

    restoring = Restoring(pool, store, log, tmp_path, version)
    chains = await restoring.chains()
    for moment, revision in life.times:
        way = way_to_time([base], chains, moment)
        async with restoring.at(way, manifest, Target(time=moment)) as (done, copy):
            assert done.revision == revision
            assert await keys_at(copy) == life.states[revision]


@pytest.mark.parametrize("version", VERSIONS)
async def test_nothing_happened_is_kept_as_well(pool, store, tmp_path, version):
    """An idle etcd's log says until when it is complete, from its first moments on."""
    async with started(pool, tmp_path / "source", version) as (_, (client,)):
        log = await log_of(client)
        _, base = await backup(client, store, "one")
        one = Archiver(client, store, request(log), base)
        one.start()
        await reached(lambda: one.progress.complete_until is not None)
        first = one.progress.safe
        await reached(lambda: one.progress.safe > first)
        await one.finish()

    (chain,) = await read_chains(store, log.path)
    assert chain.last.last_revision == base.revision
    (window,) = windows_of([base], [chain])
    assert window.start_time < window.end_time


async def test_of_two_archivers_one_is_fenced_and_the_log_stays_whole(pool, store, tmp_path):
    async with started(pool, tmp_path / "source", "3.6.16") as (_, (client,)):
        life, log = Life(client, random.Random(7)), await log_of(client)
        await life.begin()
        manifest, base = await backup(client, store, "one")
        pair = [Archiver(client, store, request(log), base) for _ in range(2)]
        for each in pair:
            each.start()
        working = asyncio.ensure_future(life.rounds(400))
        await asyncio.wait([each.task for each in pair], return_when=asyncio.FIRST_COMPLETED)
        await working
        fenced, alive = sorted(pair, key=lambda each: not each.task.done())
        with pytest.raises(FencedError, match="was written by another archiver"):
            await fenced.task
        last = await life.note()
        await alive.kept(last)
        await alive.finish()

    restoring = Restoring(pool, store, log, tmp_path, "3.6.16")
    way = way_to_revision([base], await restoring.chains(), last)
    async with restoring.at(way, manifest, Target(revision=last)) as (_, copy):
        for revision, kvs in life.states.items():
            if revision >= base.revision:
                assert await keys_at(copy, revision) == kvs


@pytest.mark.parametrize("version", VERSIONS)
async def test_compaction_that_overtakes_the_archiver_ends_the_chain(
    pool, store, tmp_path, version
):
    async with started(pool, tmp_path / "source", version) as (_, (client,)):
        life, log = Life(client, random.Random(3)), await log_of(client)
        await life.begin()
        with pytest.raises(BaseNeededError, match="there is no backup yet"):
            await Archiver(client, store, request(log)).run()
        first, base = await backup(client, store, "one")
        one = Archiver(client, store, request(log), base)
        one.start()
        await life.rounds(40)
        before = await life.note()
        await one.kept(before)
        await one.cut()
        kept = (await read_chains(store, log.path))[0].last.last_revision

        await life.rounds(40)
        lost = await life.note()
        await life.rounds(10)
        compacted = await life.note()
        await life.compact(compacted)
        with pytest.raises(BaseNeededError, match=f"compacted .* before revision {compacted}"):
            await one.run()

        second, later = await backup(client, store, "two")
        one.bases = (base, later)
        one.start()
        await life.rounds(40)
        after = await life.note()
        await one.kept(after)
        await one.finish()

    restoring = Restoring(pool, store, log, tmp_path, version)
    chains, bases = await restoring.chains(), [base, later]
    assert [each.folder.first_revision for each in chains] == [
        base.revision + 1,
        later.revision + 1,
    ]
    # A lease may have ended after the last look.
    end = chains[1].last.last_revision
    assert end >= after
    assert [w.end_revision for w in windows_of(bases, chains)] == [kept, end]
    with pytest.raises(NotRestorableError):
        way_to_revision(bases, chains, lost)
    for manifest, revision in ((first, before), (second, after)):
        way = way_to_revision(bases, chains, revision)
        async with restoring.at(way, manifest, Target(revision=revision)) as (_, copy):
            assert await keys_at(copy) == life.states[revision]


async def test_compaction_under_a_watch_that_is_behind_is_noticed(pool, store, tmp_path):
    """A backup that is there already begins the next chain, without anybody being asked."""
    async with started(pool, tmp_path / "source", "3.6.16") as (_, (client,)):
        log = await log_of(client)
        _, base = await backup(client, store, "one")
        for number in range(20):
            put = await client.kv.put(Put(key=b"key", value=b"%d" % number))
        _, later = await backup(client, store, "two")
        await client.kv.compact(put.header.revision, physical=True)
        one = Archiver(client, store, request(log), base, later)
        one.start()
        last = (await client.kv.put(Put(key=b"key", value=b"last"))).header.revision
        await one.kept(last)
        await one.finish()

    (chain,) = await read_chains(store, log.path)
    assert chain.folder.first_revision == later.revision + 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_chain_goes_on_at_another_member_when_one_is_lost(pool, store, tmp_path, version):
    async with started(pool, tmp_path / "source", version, size=3) as (cluster, clients):
        first, second, third = clients
        life, log = Life(second, random.Random(5)), await log_of(first)
        manifest, base = await backup(first, store, "one")
        one = Archiver(first, store, request(log), base)
        one.start()
        await life.rounds(30)
        await one.kept(await life.note())
        cluster.members[0].kill()
        with pytest.raises(EtcdError):
            await asyncio.wait_for(one.task, 30)
        # It may have been the leader.
        key = Range(key=b"key-1")
        await wait_for(lambda: second.kv.range(key, timeout_s=2), within_s=60)

        one.client = third
        one.start()
        await life.rounds(30)
        last = await life.note()
        await one.kept(last)
        await one.finish()

    restoring = Restoring(pool, store, log, tmp_path, version)
    (chain,) = await restoring.chains()
    way = way_to_revision([base], [chain], last)
    async with restoring.at(way, manifest, Target(revision=last)) as (_, copy):
        for revision, kvs in life.states.items():
            if revision >= base.revision:
                assert await keys_at(copy, revision) == kvs


async def test_member_that_is_cut_off_from_the_others_completes_nothing(pool, store, tmp_path):
    """It would answer for ever that nothing has happened, while the others write."""
    async with started(pool, tmp_path / "source", "3.6.16", size=3) as (cluster, clients):
        first, *_ = clients
        log = await log_of(first)
        _, base = await backup(first, store, "one")
        for member in cluster.members[1:]:
            member.freeze()
        one = Archiver(first, store, request(log), base)

        with pytest.raises(EtcdError):
            await asyncio.wait_for(one.run(), 60)

        assert one.progress.safe is None
    assert await read_chains(store, log.path) == ()


async def test_member_of_another_cluster_is_not_listened_to(pool, store, tmp_path):
    async with (
        started(pool, tmp_path / "mine", "3.6.16") as (_, (mine,)),
        started(pool, tmp_path / "other", "3.6.16") as (_, (other,)),
    ):
        log = await log_of(mine)
        _, base = await backup(mine, store, "one")

        with pytest.raises(WrongSourceError, match="the log of cluster"):
            await Archiver(other, store, request(log), base).run()

    assert await read_chains(store, log.path) == ()


async def test_etcd_that_somebody_else_writes_to_is_not_replayed_into(pool, store, tmp_path):
    async with started(pool, tmp_path / "source", "3.6.16") as (_, (client,)):
        life, log = Life(client, random.Random(1)), await log_of(client)
        manifest, base = await backup(client, store, "one")
        one = Archiver(client, store, request(log), base)
        one.start()
        await life.begin()
        last = await life.note()
        await one.kept(last)
        await one.finish()

    restoring = Restoring(pool, store, log, tmp_path, "3.6.16")
    way = way_to_revision([base], await restoring.chains(), last)
    async with restoring.at(way, manifest, Target(revision=last)) as (_, copy):
        # Once more into the same data, which is not where the base was.
        with pytest.raises(ReplayError, match=f"became {last + 1} instead of {base.revision + 1}"):
            await replay(
                copy,
                read_changes(store, way, ()),
                base_revision=base.revision,
                moved_by=0,
                target=Target(revision=last),
            )
