"""A life for an etcd whose changes are kept, what it was like at many moments, and its keepers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from etcd.errors import CompactedError, LeaseNotFoundError
from etcd.ids import cluster_id_hex
from etcd.kv_types import ALL_KEYS, Compare, DeleteRange, Operator, Put, Range, Target, Txn
from snapshots.changes.archiver import ArchiveRequest, Progress, archive
from snapshots.changes.history import Base, read_chains
from snapshots.changes.layout import LogFolder
from snapshots.changes.reading import read_changes
from snapshots.changes.replay import flags_for_replay, replay
from snapshots.errors import FencedError, StoreUnavailableError
from snapshots.fetch import fetch
from tests.integration.etcd.processes import wait_for
from tests.integration.snapshots.etcds import restored, take

if TYPE_CHECKING:
    import random

KEPT_DEADLINE_S = 60
# Of names so long that etcd tells of their common end in several pieces: of 2 MiB each.
MANY = [b"many/%04d/" % number + bytes(1000) for number in range(3000)]
MANY_END = b"many0"


def now():
    return datetime.now(UTC)  # noqa: TID251 - the archiver's clock is the one on the wall


@dataclass
class Life:
    """A random workload. states: all keys by revision, as etcd itself told them at the time."""

    client: object
    chance: random.Random
    states: dict[int, tuple] = field(default_factory=dict)
    leases: list[int] = field(default_factory=list)
    granted: dict[int, int] = field(default_factory=dict)
    times: list[tuple[datetime, int]] = field(default_factory=list)

    async def note(self):
        """Remembers the present state; returns its revision."""
        found = await self.client.kv.range(Range(key=ALL_KEYS, range_end=ALL_KEYS), timeout_s=20)
        self.states[found.header.revision] = found.kvs
        return found.header.revision

    async def note_time(self, progress):
        """Remembers the present state as the one of now: the archiver knows of all of it."""
        revision = await self.note()
        await reached(lambda: (progress.seen or 0) >= revision)
        moment = now()
        self.times.append((moment, revision))
        # The next change is of a later millisecond.
        await reached(lambda: now() > moment + timedelta(milliseconds=2))

    async def begin(self):
        """Leases that outlive everything and ones that don't, and enough keys for large ends."""
        for ttl_s in (600, 3600, 2, 3):
            await self._grant(ttl_s)
        await self.put_many()

    async def rounds(self, count, *, kept=lambda: 0):
        """kept: up to which revision it may be compacted."""
        for number in range(count):
            await self._one()
            if number % 25 == 0:
                await self.note()
            if number % 60 == 59 and kept() > 10:
                await self.compact(kept() - self.chance.randrange(5))
            # Leases end by time, and what is kept comes in pieces of it.
            await asyncio.sleep(0.001)

    async def compact(self, revision):
        # A random one may be done already.
        with suppress(CompactedError):
            await self.client.kv.compact(revision, physical=self.chance.random() < 0.5)

    async def _one(self):
        chance, kv = self.chance, self.client.kv
        key = b"key-%d" % chance.randrange(60)
        value = chance.randbytes(chance.choice([0, 10, 300, 5000]))
        match chance.choices(range(7), [50, 10, 3, 15, 4, 3, 1])[0]:
            case 0:
                lease = chance.choice([0, 0, *self.leases[-6:]])
                # One that is over has been told of already.
                with suppress(LeaseNotFoundError):
                    await kv.put(Put(key=key, value=value, lease=lease))
            case 1:
                await kv.delete_range(DeleteRange(key=key))
            case 2:
                await kv.delete_range(DeleteRange(key=b"key-1", range_end=b"key-3"))
            case 3:
                await kv.txn(self._txn(key, value))
            case 4:
                await self._grant(chance.choice([2, 3, 60]))
            case 5:
                with suppress(LeaseNotFoundError):
                    await self.client.lease.revoke(chance.choice(self.leases[2:]))
            case 6:
                await self.end_many()
                await self.put_many(MANY[: chance.randrange(130, 600)])

    async def end_many(self):
        """In one revision."""
        await self.client.kv.delete_range(DeleteRange(key=b"many/", range_end=MANY_END))

    def _txn(self, key, value):
        """In one revision: puts, ends of others, and a transaction within it."""
        inner = Txn(
            compare=(Compare(b"txn-1", Target.VERSION, Operator.GREATER, 3),),
            success=(DeleteRange(key=b"txn-1"),),
            failure=(Put(key=b"txn-1", value=value[:50]),),
        )
        return Txn(
            compare=(Compare(key, Target.VERSION, Operator.EQUAL, 0),),
            success=(Put(key=key, value=value), Put(key=b"txn-2", value=b""), inner),
            failure=(DeleteRange(key=key), Range(key=b"key-1"), Put(key=b"txn-3", value=value)),
        )

    async def _grant(self, ttl_s):
        lease = await self.client.lease.grant(ttl_s)
        self.leases.append(lease.id)
        self.granted[lease.id] = lease.ttl_s
        await self.client.kv.put(
            Put(key=b"leased-%d" % len(self.leases), value=b"", lease=lease.id)
        )

    async def put_many(self, keys=MANY):
        for begin in range(0, len(keys), 100):
            puts = tuple(Put(key=key, value=b"v") for key in keys[begin : begin + 100])
            await self.client.kv.txn(Txn(success=puts))


class Flaky:
    """A store that fails now and then: before it has done as asked, or only the answer is lost."""

    def __init__(self, store, chance):
        self._store = store
        self._chance = chance
        self.fails = True

    async def create(self, path, data, **options):
        self._fail("create", path)
        await self._store.create(path, data, **options)
        self._fail("create", path)

    def __getattr__(self, name):
        return getattr(self._store, name)

    def _fail(self, operation, path):
        if self.fails and self._chance.random() < 0.15:
            raise StoreUnavailableError("not now", operation=operation, where=path)


async def log_of(client, name="changes"):
    status = await client.maintenance.status()
    return LogFolder(cluster_id=status.cluster_id, epoch=0, name=name)


def request(log, **changes):
    settings = {
        "log": log,
        "cluster": cluster_id_hex(log.cluster_id),
        "flush_interval": timedelta(milliseconds=100),
        "max_bytes": 200_000,
        "compress": True,
        "key": None,
    }
    return ArchiveRequest(**settings | changes)


async def backup(client, store, name):
    """A backup, and what changes go on from."""
    manifest = await take(client, store, backup=name)
    path = manifest.folder(name).path
    return manifest, Base(path=path, revision=manifest.content.revision, completed=now())


async def reached(condition):
    async def check():
        return condition()

    await wait_for(check, within_s=KEPT_DEADLINE_S, every_s=0.002)


class Archiver:
    """One archiver of a log, in a task; `again` and again, each time with nothing remembered."""

    def __init__(self, client, store, wanted, *bases):
        self.client = client
        self.store = store
        self.request = wanted
        self.bases = bases
        self.progress = Progress()
        self.stop = asyncio.Event()
        self.task = None

    def start(self):
        self.progress, self.stop = Progress(), asyncio.Event()
        self.task = asyncio.ensure_future(self.run())

    async def run(self):
        await archive(
            self.client,
            self.store,
            self.request,
            bases=self.bases,
            stop=self.stop,
            progress=self.progress,
            now=now,
        )

    async def finish(self):
        """As at the end of its pod."""
        self.stop.set()
        await self.task

    async def cut(self):
        """As when its process dies. Returns whether it had found another one's segment."""
        self.task.cancel()
        try:
            await self.task
        except asyncio.CancelledError:
            return False
        except FencedError:
            return True
        return False

    async def kept(self, revision):
        """Waits until the store has all up to there."""
        await reached(lambda: self.task.done() or (self.progress.revision or 0) >= revision)
        if self.task.done():
            await self.task

    @asynccontextmanager
    async def cut_again_and_again(self, chance):
        """While it lasts it begins anew at random moments; afterwards it is running."""

        async def go_on():
            while True:
                self.start()
                await asyncio.sleep(chance.uniform(0.0, 1.5))
                await self.cut()

        cutting = asyncio.ensure_future(go_on())
        try:
            yield
        finally:
            cutting.cancel()
            with suppress(asyncio.CancelledError):
                await cutting
            await self.cut()
        self.start()


class Restoring:
    """Makes etcds of a backup and the changes after it."""

    def __init__(self, pool, store, log, folder, version):
        self._pool = pool
        self._store = store
        self._log = log
        self._folder = folder
        self._version = version
        self._made = 0

    async def chains(self):
        return await read_chains(self._store, self._log.path)

    @asynccontextmanager
    async def at(self, way, manifest, target, *, bump=0, keys=()):
        """Yields what was replayed, and the client of the etcd that has it."""
        self._made += 1
        folder = self._folder / f"restored-{self._made}"
        folder.mkdir(parents=True)
        name = way.base.path.rpartition("/")[2]
        await fetch(self._store, manifest.folder(name), manifest, folder / "db")
        more = ("--bump-revision", str(bump), "--mark-compacted") if bump else ()
        async with restored(
            self._pool, folder, self._version, folder / "db", *more, extra=flags_for_replay()
        ) as client:
            replayed = await replay(
                client,
                read_changes(self._store, way, keys),
                base_revision=way.base.revision,
                moved_by=bump,
                target=target,
            )
            yield replayed, client
