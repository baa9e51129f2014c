"""Any revision and any moment of a life comes back as it was, key by key, from a backup before it
and the changes that were kept.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from cli.agent import target
from cli.agent.examination import examine
from cli.agent.restore import AlreadyDoneError
from controllers.backup.order import ENCRYPTION_KEY
from controllers.restore.order import ExamineOrder
from etcd.errors import CompactedError, LeaseNotFoundError
from etcd.kv_types import ALL_KEYS, DeleteRange, Put, Range, Txn
from etcd.maintenance import Alarm, AlarmKind
from etcd.watch import WatchRange
from snapshots.capture import capture
from snapshots.changes.archiver import ArchiveRequest, Progress, archive
from snapshots.changes.history import read_bases
from snapshots.changes.layout import LogFolder
from snapshots.errors import NotRestorableError, ReplayError
from snapshots.keys import read_keys
from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.stores import open_store
from tests.integration.etcd.processes import wait_for
from tests.integration.snapshots.etcds import keys_at, request, started
from tests.integration.snapshots.restoring import Seed, now

pytestmark = pytest.mark.timeout(600)

KEY = base64.b64encode(bytes(range(32))).decode()
JUMP = 1_000_000_000
BACKUPS = ("one", "two", "three")


@dataclass
class Life:
    """A cluster that is written to, backed up, and whose changes are kept.

    states: by revision, every key as etcd showed it then. moments: of when nothing was under way,
    with the revision at that time.
    """

    client: object
    store: object
    log: LogFolder
    key: object = None
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    progress: Progress = field(default_factory=Progress)
    states: dict = field(default_factory=dict)
    moments: list = field(default_factory=list)
    leases: list = field(default_factory=list)
    granted: dict = field(default_factory=dict)

    @asynccontextmanager
    async def kept(self):
        stop = asyncio.Event()
        asked = ArchiveRequest(
            log=self.log,
            cluster=f"{self.log.cluster_id:x}",
            flush_interval=timedelta(milliseconds=200),
            max_bytes=64 << 10,
            compress=True,
            key=self.key,
        )
        bases = await read_bases(self.store, self.log.line)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                archive(
                    self.client,
                    self.store,
                    asked,
                    bases=bases,
                    stop=stop,
                    progress=self.progress,
                    now=now,
                )
            )
            try:
                yield
                await self.rest()
            finally:
                stop.set()
        # What came after its last word nobody can promise.
        until = self.progress.complete_until
        self.moments = [one for one in self.moments if one[0] <= until]

    async def back_up(self, name):
        asked = request(backup=name, key=self.key)
        return await capture(self.client, self.store, asked, now=now)

    async def look(self):
        every = Range(key=ALL_KEYS, range_end=ALL_KEYS)
        found = await self.client.kv.range(every, timeout_s=20)
        self.states[found.header.revision] = found.kvs
        return found.header.revision

    async def rest(self):
        """A moment at which all is written, and told."""
        revision = await self.look()
        await wait_for(lambda: _seen(self.progress, revision))
        await asyncio.sleep(0.01)  # to the next millisecond
        self.moments.append((now(), revision))
        await asyncio.sleep(0.01)

    async def go_on(self, rounds):
        for number in range(rounds):
            await self._write()
            revision = await self.look()
            if number % 15 == 7:
                await self.rest()
            if number % 40 == 39:
                await self.client.kv.compact(revision - 3, physical=True)

    async def _write(self):
        chance, kv = self.chance, self.client.kv
        match chance.randrange(10):
            case 0:
                await kv.delete_range(DeleteRange(key=self._key()))
            case 1:
                await kv.delete_range(DeleteRange(key=b"key-1", range_end=b"key-2"))
            case 2:
                keys = {self._key() for _ in range(5)}
                writes = [
                    DeleteRange(key=key) if chance.random() < 0.3 else self._put(key)
                    for key in sorted(keys)
                ]
                await kv.txn(Txn(compare=(), success=tuple(writes)))
            case 3:
                ttl = chance.choice([2, 3, 600, 3600])
                lease = (await self.client.lease.grant(ttl)).id
                self.leases.append(lease)
                self.granted[lease] = ttl
                await self._put_with(lease)
            case 4 if self.leases:
                await self._put_with(chance.choice(self.leases))
            case 5 if len(self.leases) > 2:
                lease = self.leases.pop(chance.randrange(len(self.leases)))
                with contextlib.suppress(LeaseNotFoundError):  # it has run out by itself
                    await self.client.lease.revoke(lease)
            case _:
                await kv.put(self._put(self._key()))

    async def _put_with(self, lease):
        try:
            await self.client.kv.put(self._put(self._key(), lease))
        except LeaseNotFoundError:
            self.leases.remove(lease)

    def _key(self):
        return b"key-%d" % self.chance.randrange(30)

    def _put(self, key, lease=0):
        size = self.chance.choice([0, 1, 40, 700, 9000])
        return Put(key=key, value=self.chance.randbytes(size), lease=lease)


async def _seen(progress, revision):
    return progress.seen is not None and progress.seen >= revision


@asynccontextmanager
async def lived(pool, tmp_path, version, *, key=None, rounds=60):
    """A life with three backups in it. Yields it when it has ended, with its manifests."""
    (tmp_path / "backups").mkdir()
    local = open_store(LocalLocation(folder=tmp_path / "backups"), WorkloadIdentity())
    async with started(pool, tmp_path / "source", version) as (_, (client,)):
        cluster_id = (await client.maintenance.status()).cluster_id
        log = LogFolder(cluster_id=cluster_id, epoch=0, name="nightly")
        life = Life(client, local, log, key=key)
        await client.kv.put(Put(key=b"key-0", value=b"the first"))
        manifests = [await life.back_up(BACKUPS[0])]
        async with life.kept():
            await life.go_on(rounds)
            for name in BACKUPS[1:]:
                manifests.append(await life.back_up(name))
                await life.go_on(rounds)
        yield life, manifests


def expected(state, base, moved_by):
    """What was written after the backup has its revision, moved by how far the data jumped."""

    def moved(revision):
        return revision + moved_by if revision > base else revision

    return [
        (kv.key, kv.value, kv.version, kv.lease, moved(kv.create_revision), moved(kv.mod_revision))
        for kv in state
    ]


async def check(pool, seed, life, revision, answer):
    """The seed serves the state of that revision, and takes writes."""
    base = next(
        one for one in await read_bases(life.store, life.log.line) if one.path == answer.base
    )
    moved_by = seed.order.bump_revision
    assert answer.replayed.revision == revision
    assert answer.replayed.revisions == revision - base.revision
    assert answer.restored_revision == revision + moved_by
    async with seed.running(pool) as client:
        found = await keys_at(client, answer.restored_revision)
        assert expected(found, 0, 0) == expected(life.states[revision], base.revision, moved_by)
        assert answer.keys == len(found)
        for lease in {kv.lease for kv in found if kv.lease and life.granted[kv.lease] > 100}:
            info = await client.lease.time_to_live(lease, keys=True)
            assert info.granted_ttl_s == life.granted[lease]
            assert sorted(info.keys) == sorted(kv.key for kv in found if kv.lease == lease)
        await client.kv.put(Put(key=b"after", value=b"wards"))


def seed_of(tmp_path, version, name, manifest, **order):
    path = manifest.folder("one").path
    return Seed(tmp_path / name, version, path, volume=tmp_path / "backups", **order)


async def test_twenty_random_points_of_a_life_come_back(pool, tmp_path):
    chance = random.Random(11)
    async with lived(pool, tmp_path, "3.6.16") as (life, (first, *_)):
        pass
    revisions = [one for one in life.states if one >= first.content.revision]
    targets = [({"revision": one}, one) for one in chance.sample(revisions, 10)]
    targets += [({"pointInTime": at}, one) for at, one in chance.sample(life.moments, 10)]
    bases = set()

    for number, (wanted, revision) in enumerate(targets):
        jump = {"bumpRevision": JUMP} if number % 2 else {}
        seed = seed_of(tmp_path, "3.6.16", f"seed-{number}", first, **wanted, **jump)
        answer = await seed.restore()
        await check(pool, seed, life, revision, answer)
        bases.add(answer.base)

    assert len(bases) > 1


@pytest.mark.parametrize(
    ("source", "seed_version"),
    [("3.5.21", "3.5.21"), ("3.5.35", "3.6.16"), ("3.6.16", "3.7.3"), ("3.7.3", "3.7.3")],
)
async def test_points_come_back_in_every_version(pool, tmp_path, source, seed_version):
    (key,) = read_keys(KEY)
    async with lived(pool, tmp_path, source, key=key, rounds=30) as (life, (first, *_)):
        pass
    (at, then), last = life.moments[len(life.moments) // 2], max(life.states)

    for name, wanted, revision in (
        ("time", {"pointInTime": at}, then),
        ("last", {"revision": last, "bumpRevision": JUMP}, last),
    ):
        seed = seed_of(tmp_path, seed_version, name, first, encrypted=True, **wanted)
        seed.environ = {ENCRYPTION_KEY: f"{KEY}\n"}
        answer = await seed.restore()
        await check(pool, seed, life, revision, answer)


@pytest.mark.parametrize("version", ["3.5.21", "3.6.16", "3.7.3"])
async def test_a_name_and_certificates_that_do_not_exist_yet_are_no_obstacle(
    pool, tmp_path, version
):
    """As in a pod: the member's Service resolves its name only when it runs."""
    async with lived(pool, tmp_path, version, rounds=10) as (life, (first, *_)):
        pass
    last = max(life.states)
    peer_url = "https://db-0.db-peer.ns.svc.cluster.local:2380"
    seed = seed_of(tmp_path, version, "seed", first, revision=last, peerURL=peer_url)

    assert (await seed.restore()).replayed.revision == last


async def test_watchers_of_the_former_cluster_never_go_back_in_time(pool, tmp_path):
    async with lived(pool, tmp_path, "3.6.16", rounds=20) as (life, (first, *_)):
        pass
    seen, revision = max(life.states), sorted(life.states)[-10]
    seed = seed_of(tmp_path, "3.6.16", "seed", first, revision=revision, bumpRevision=JUMP)

    answer = await seed.restore()

    assert answer.restored_revision > seen
    async with seed.running(pool) as client:
        watched = WatchRange(key=b"key-0", start_revision=seen + 1)
        with pytest.raises(CompactedError):
            async with client.watch.open(watched) as stream:
                await stream.receive(timeout_s=5)
        with pytest.raises(CompactedError):
            await client.kv.range(Range(key=b"key-0", revision=seen))


async def test_what_was_written_over_does_not_stay_in_the_database(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(target, "COMPACT_EVERY_BYTES", 100 << 10)
    async with lived(pool, tmp_path, "3.6.16", rounds=40) as (life, (first, *_)):
        pass
    # From the first backup on, as if there were no other.
    for name in BACKUPS[1:]:
        await life.store.delete([f"{life.log.line}/{name}/manifest.json"])
    last = max(life.states)
    seed = seed_of(tmp_path, "3.6.16", "seed", first, revision=last)

    answer = await seed.restore()

    assert first.content.revision < answer.restored_compact_revision <= last
    await check(pool, seed, life, last, answer)


async def root_token(client):
    return await client.auth.authenticate("root", "root's password")


async def test_data_that_ask_who_is_calling_and_an_old_alarm(pool, tmp_path):
    (tmp_path / "backups").mkdir()
    local = open_store(LocalLocation(folder=tmp_path / "backups"), WorkloadIdentity())
    async with started(pool, tmp_path / "source", "3.6.16") as (_, (client,)):
        await client.auth.role_add("root")
        await client.auth.user_add("root", "root's password")
        await client.auth.user_grant_role("root", "root")
        await client.auth.enable()
        root = client.with_token(await root_token(client))
        status = await root.maintenance.status()
        log = LogFolder(cluster_id=status.cluster_id, epoch=0, name="nightly")
        life = Life(root, local, log)
        await root.kv.put(Put(key=b"key-0", value=b"the first"))
        alarm = Alarm(member_id=status.member_id, kind=AlarmKind.NOSPACE)
        await root.maintenance.raise_alarm(alarm)
        manifest = await life.back_up("one")
        await root.maintenance.disarm(alarm)
        async with life.kept():
            await life.go_on(20)
    last = max(life.states)
    seed = seed_of(tmp_path, "3.6.16", "seed", manifest, revision=last)

    answer = await seed.restore()

    assert (answer.auth_enabled, answer.alarms) == (True, ())
    async with seed.running(pool, up=root_token) as client:
        token = await root_token(client)
        found = await keys_at(client.with_token(token), last)
        assert expected(found, 0, 0) == expected(life.states[last], 0, 0)


async def test_what_can_not_be_reached_is_refused_before_and_leaves_nothing(pool, tmp_path):
    async with lived(pool, tmp_path, "3.6.16", rounds=10) as (life, (first, *_)):
        pass
    before = first.completed_at - timedelta(hours=1)
    for number, wanted in enumerate(
        [{"revision": max(life.states) + 1}, {"pointInTime": before}, {"pointInTime": now()}]
    ):
        seed = seed_of(tmp_path, "3.6.16", f"seed-{number}", first, **wanted)
        with pytest.raises(NotRestorableError):
            await seed.fetch()
        order = ExamineOrder(
            folder=seed.order.folder,
            local=seed.order.local,
            revision=seed.order.revision,
            point_in_time=seed.order.point_in_time,
        )
        with pytest.raises(NotRestorableError):
            await examine(order, {}, volume=seed.volume)
        assert list((seed.root / "restore").iterdir()) == []


async def test_an_etcd_that_is_killed_in_the_middle_leaves_no_data_and_all_can_be_repeated(
    pool, tmp_path, monkeypatch
):
    async with lived(pool, tmp_path, "3.6.16", rounds=40) as (life, (first, *_)):
        pass
    last = max(life.states)
    seed = seed_of(tmp_path, "3.6.16", "seed", first, revision=last)
    await seed.fetch()
    await seed.etcdutl()
    async with seed.private_etcd() as etcd:
        with monkeypatch.context() as patch:
            # When the first segment has been replayed.
            patch.setattr(target, "log_progress", lambda _: lambda *_: etcd.kill())
            with pytest.raises(ReplayError):
                await seed.finish()
    assert not (seed.root / "data").exists()

    answer = await seed.restore()

    await check(pool, seed, life, last, answer)
    with pytest.raises(AlreadyDoneError):
        await seed.fetch()
