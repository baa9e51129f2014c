"""A backup is there as a whole, or it is not there."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta

import pytest

from etcd.errors import SnapshotDamagedError
from snapshots.catalog import delete_orphans, find_manifest, list_backups
from snapshots.errors import (
    DatabaseUnreadableError,
    ManifestInvalidError,
    SnapshotsError,
    StoreUnavailableError,
)
from snapshots.manifest import Database, read_manifest
from tests.unit.snapshots.backups import (
    DATABASE,
    FILE,
    FOLDER,
    KEY,
    START,
    Counting,
    Dying,
    answers,
    paths,
    take,
)

pytestmark = pytest.mark.usefixtures("small_parts")

FOREVER = timedelta(days=36500)


async def stored(store, manifest):
    """All parts, one after the other."""
    numbers = range(len(manifest.parts))
    parts = [FOLDER.part(manifest.attempt, number) for number in numbers]
    return [await store.get(path, max_bytes=1 << 20) for path in parts]


async def test_manifest_tells_what_was_stored(client, store):
    manifest = await take(client, store)

    parts = await stored(store, manifest)
    assert len(parts) > 3
    assert [len(part) for part in parts] == [part.size for part in manifest.parts]
    assert [hashlib.sha256(part).hexdigest() for part in parts] == [
        part.sha256 for part in manifest.parts
    ]
    assert await find_manifest(store, FOLDER) == manifest


async def test_plain_backup_is_the_snapshot_file(client, store):
    manifest = await take(client, store)

    assert b"".join(await stored(store, manifest)) == FILE
    assert manifest.database == Database(
        size=len(DATABASE), sha256=hashlib.sha256(DATABASE).hexdigest()
    )


async def test_manifest_tells_what_is_in_the_database(client, store):
    manifest = await take(client, store, compress=True, key=KEY)

    assert manifest.content.revision == 399
    assert (manifest.content.raft_index, manifest.content.raft_term) == (7, 2)
    assert (manifest.cluster.id, manifest.cluster.epoch, manifest.cluster.name) == ("c", 1, "main")
    assert (manifest.member.id, manifest.member.etcd_version) == ("a", "3.6.16")
    assert manifest.started_at == START
    assert (manifest.compression, manifest.encryption.key_id) == ("zstd", KEY.id)


async def test_member_that_cannot_count_leaves_the_count_open(client, store):
    manifest = await take(client, store)

    assert (manifest.content.keys, manifest.content.kv_hash) == (None, None)


async def test_encrypted_backup_shows_nothing_of_the_database_or_the_key(client, store, folder):
    await take(client, store, key=KEY)

    everything = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert DATABASE[8192:8256] not in everything
    assert KEY.secret not in everything
    assert KEY.secret.hex().encode() not in everything


@pytest.mark.parametrize("kept", [0, 1, 5, -1])
async def test_stream_that_ends_early_leaves_nothing(client, store, member, kept):
    member.chunks = answers()[:kept]

    with pytest.raises(SnapshotDamagedError):
        await take(client, store)
    assert await paths(store) == []


async def test_wrong_trailer_leaves_nothing(client, store, member):
    member.chunks = answers(trailer=bytes(32))

    with pytest.raises(SnapshotDamagedError, match="does not match"):
        await take(client, store)
    assert await paths(store) == []


async def test_what_is_no_database_is_no_backup(client, store, member):
    member.chunks = answers(b"garbage" * 40_000)

    with pytest.raises(DatabaseUnreadableError):
        await take(client, store)
    assert await paths(store) == []


async def test_backup_that_is_there_already_counts(client, store, member):
    first = await take(client, store)
    member.chunks = []

    assert await take(client, store) == first


async def test_what_is_no_manifest_is_left_as_it_is(client, store):
    await store.put(FOLDER.manifest, b"{}")

    with pytest.raises(ManifestInvalidError):
        await take(client, store)
    assert await store.get(FOLDER.manifest, max_bytes=9) == b"{}"


@pytest.mark.parametrize("late", [False, True])
async def test_death_at_any_moment_leaves_a_whole_backup_or_none(client, store, *, late):
    """Whatever an attempt's last operation is, the next attempt and the cleaning mend it."""
    lives = 0
    while True:
        dying = Dying(store, lives, late=late)
        try:
            await take(client, dying)
        except SnapshotsError:
            lives += 1
        if await find_manifest(store, FOLDER) is not None:
            break
        assert await list_backups(store) == ()

    manifest = await take(client, store)
    assert b"".join(await stored(store, manifest)) == FILE
    await delete_orphans(store, now=START + 2 * FOREVER, older_than=FOREVER)
    parts = [FOLDER.part(manifest.attempt, number) for number in range(len(manifest.parts))]
    assert await paths(store) == [*parts, FOLDER.manifest]
    assert lives > len(parts)


async def test_manifest_whose_answer_was_lost_keeps_its_parts(client, store):
    class Deaf(Dying):
        async def before(self, operation, path):
            self.lives = -1 if operation == "create" else 1

    with pytest.raises(StoreUnavailableError):
        await take(client, Deaf(store, 1))

    manifest = await find_manifest(store, FOLDER)
    assert b"".join(await stored(store, manifest)) == FILE


async def test_manifest_written_twice_by_one_call_is_ours(client, store):
    class Repeating(Counting):
        async def before(self, operation, path):
            if operation == "create":
                await self.store.put(path, self.written)

        async def create(self, path, data, **options):
            self.written = data
            await super().create(path, data, **options)

    manifest = await take(client, Repeating(store))

    assert b"".join(await stored(store, manifest)) == FILE


async def test_of_two_attempts_at_once_one_counts(client, store):
    one, other = await asyncio.gather(take(client, store), take(client, store))

    assert one == other == await find_manifest(store, FOLDER)
    assert len(await paths(store)) == len(one.parts) + 1
    assert b"".join(await stored(store, one)) == FILE


async def test_few_parts_are_under_way_at_once(client, store):
    counting = Counting(store)

    manifest = await take(client, counting)

    assert len(manifest.parts) > 4
    assert counting.most == 3


async def test_cancelled_attempt_takes_its_parts_away(client, store):
    counting = Counting(store)
    counting.hold.clear()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        attempt = tasks.create_task(take(client, counting))
        await counting.begun.wait()
        attempt.cancel()
        counting.hold.set()

    assert attempt.cancelled()
    assert await paths(store) == []


async def test_progress_ends_at_the_size(client, store):
    from snapshots.capture import capture
    from tests.unit.snapshots.backups import clock, request

    heard = []

    await capture(client, store, request(), now=clock(), progress=lambda *seen: heard.append(seen))

    assert heard[-1] == (len(DATABASE), len(DATABASE))
    assert heard == sorted(heard)


async def test_clock_that_is_set_back_makes_no_nonsense(client, store):
    from snapshots.capture import capture
    from tests.unit.snapshots.backups import request

    times = iter([START, START - timedelta(hours=1)])

    manifest = await capture(client, store, request(), now=lambda: next(times))

    assert manifest.started_at == manifest.completed_at == START


async def test_manifest_reads_back(client, store):
    manifest = await take(client, store, compress=True)

    data = await store.get(FOLDER.manifest, max_bytes=1 << 20)
    assert read_manifest(data) == manifest
