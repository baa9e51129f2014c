"""A backup from a member that sends what it is told to, and stores with faults of their own."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

from etcd.proto import maintenance_pb2 as pb
from snapshots.capture import CaptureRequest, capture
from snapshots.encryption import EncryptionKey
from snapshots.errors import StoreUnavailableError
from snapshots.layout import BackupFolder
from tests.unit.snapshots.bolt_file import database

KEY = EncryptionKey(id="2026-01", secret=bytes(range(32)))
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DATABASE = database(list(range(2, 400)), value=hashlib.sha512(b"v").digest() * 8)
FILE = DATABASE + hashlib.sha256(DATABASE).digest()
FOLDER = BackupFolder(cluster_id=0xC, epoch=1, name="daily-1")  # the fake member's cluster


def answers(data=DATABASE, *, trailer=None):
    """What etcd sends for this database."""
    pieces = [data[at : at + 32768] for at in range(0, len(data), 32768)]
    found, sent = [], 0
    for piece in pieces:
        sent += len(piece)
        found.append(pb.SnapshotResponse(blob=piece, remaining_bytes=len(data) - sent))
    last = hashlib.sha256(data).digest() if trailer is None else trailer
    return [*found, pb.SnapshotResponse(blob=last)]


def clock():
    """One second later each time."""
    times = iter(START + timedelta(seconds=n) for n in range(1000))
    return lambda: next(times)


def request(**changes):
    settings = {
        "backup": FOLDER.name,
        "epoch": FOLDER.epoch,
        "namespace": "ns",
        "name": "main",
        "uid": "uid-1",
        "member": "main-0",
        "compress": False,
        "key": None,
    }
    return CaptureRequest(**settings | changes)


async def take(client, store, **changes):
    return await capture(client, store, request(**changes), now=clock())


async def paths(store):
    return sorted([found.path async for found in store.list()])


class Wrapped:
    """A store that calls `before` and `after` with the operation and the path."""

    def __init__(self, store):
        self.store = store

    async def before(self, operation, path):
        pass

    async def after(self, operation, path):
        pass

    async def put(self, path, data, **options):
        await self._do("put", path, self.store.put(path, data, **options))

    async def create(self, path, data, **options):
        await self._do("create", path, self.store.create(path, data, **options))

    async def get(self, path, **options):
        return await self._do("get", path, self.store.get(path, **options))

    async def delete(self, paths, **options):
        for path in paths:
            await self._do("delete", path, self.store.delete([path], **options))

    async def list(self, folder="", **options):
        await self.before("list", folder)
        async for found in self.store.list(folder, **options):
            yield found

    async def _do(self, operation, path, call):
        try:
            await self.before(operation, path)
        except BaseException:
            call.close()
            raise
        result = await call
        await self.after(operation, path)
        return result


class Dying(Wrapped):
    """Lives for so many operations; then nothing gets through, as after the end of a process.

    late: what fails first is done, and only its answer is lost.
    """

    def __init__(self, store, lives, *, late=False):
        super().__init__(store)
        self.lives = lives
        self.late = late

    async def before(self, operation, path):
        self.lives -= 1
        if self.lives < 0 and not (self.late and self.lives == -1):
            raise StoreUnavailableError("dead", operation=operation, where=path)

    async def after(self, operation, path):
        if self.lives < 0:
            raise StoreUnavailableError("no answer", operation=operation, where=path)


class Counting(Wrapped):
    """Notes how many puts were on at once. hold: they wait for it."""

    def __init__(self, store):
        super().__init__(store)
        self.now = self.most = 0
        self.begun = asyncio.Event()
        self.hold = asyncio.Event()
        self.hold.set()

    async def before(self, operation, path):
        if operation == "put":
            self.now += 1
            self.most = max(self.most, self.now)
            self.begun.set()
            await self.hold.wait()

    async def after(self, operation, path):
        if operation == "put":
            self.now -= 1
