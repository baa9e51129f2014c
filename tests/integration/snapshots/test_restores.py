"""A backup becomes a member with all that is in it, or the volume is left alone."""

from __future__ import annotations

import base64
import os
import subprocess

import pytest

from cli.agent.restore import AlreadyDoneError
from controllers.backup.order import ENCRYPTION_KEY
from etcd.errors import CompactedError
from etcd.ids import member_id_hex
from etcd.kv_types import ALL_KEYS, DeleteRange, Put, Range
from etcd.maintenance import Alarm, AlarmKind
from etcd.watch import WatchRange
from snapshots.database_file import read_database
from snapshots.errors import (
    BackupTooNewError,
    PartCorruptedError,
    TargetNotEmptyError,
    VolumeTooSmallError,
)
from snapshots.keys import read_keys
from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.preflight import needed_bytes
from snapshots.stores import open_store
from tests.integration.snapshots.etcds import keys_at, started, take, write_bulk, write_some
from tests.integration.snapshots.restoring import Seed

pytestmark = pytest.mark.timeout(120)

KEY = base64.b64encode(bytes(range(32))).decode()
JUMP = 1_000_000_000
WAYS = [
    ("3.5.21", "3.5.21"),
    ("3.5.21", "3.6.16"),
    ("3.5.35", "3.7.3"),
    ("3.6.16", "3.6.16"),
    ("3.6.16", "3.7.3"),
    ("3.7.3", "3.7.3"),
]


@pytest.fixture
def volume(tmp_path):
    """Of the backups."""
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


@pytest.fixture
def local(volume):
    return open_store(LocalLocation(folder=volume), WorkloadIdentity())


async def add_users(client):
    await client.auth.role_add("root")
    await client.auth.role_add("reader")
    for user in ("root", "ann"):
        await client.auth.user_add(user, f"{user}'s password")
    await client.auth.user_grant_role("root", "root")
    await client.auth.user_grant_role("ann", "reader")


async def state_of(client, revision):
    """All that a client can see, at a revision."""
    leases = {}
    for lease in await client.lease.leases():
        found = await client.lease.time_to_live(lease, keys=True)
        leases[lease] = (found.granted_ttl_s, sorted(found.keys))
    users = {user: await client.auth.user_roles(user) for user in await client.auth.users()}
    return {
        "keys": await keys_at(client, revision),
        "hash": (await client.maintenance.hash_kv(revision=revision)).hash,
        "leases": leases,
        "users": users,
        "roles": await client.auth.roles(),
    }


@pytest.mark.parametrize(("source", "target"), WAYS)
async def test_all_of_it_comes_back(pool, local, volume, tmp_path, source, target):
    async with started(pool, tmp_path / "source", source) as (_, (client,)):
        await write_some(client)
        await add_users(client)
        manifest = await take(client, local, compress=True, key=read_keys(KEY)[0])
        before = await state_of(client, manifest.content.revision)
    seed = Seed(
        tmp_path / "seed",
        target,
        manifest.folder("one").path,
        volume=volume,
        environ={ENCRYPTION_KEY: f"{KEY}\n"},
        encrypted=True,
    )

    answer = await seed.restore()

    async with seed.running(pool) as restored:
        status = await restored.maintenance.status()
        assert await state_of(restored, status.revision) == before
        assert status.revision == manifest.content.revision == answer.restored_revision
        assert status.cluster_id != int(manifest.cluster.id, 16)
    assert (answer.etcd_version, answer.keys) == (source, len(before["keys"]))
    assert answer.restored_compact_revision == manifest.content.compact_revision
    assert (answer.auth_enabled, answer.alarms, answer.notes) == (False, (), ())
    assert sorted(path.name for path in seed.root.iterdir() if path.suffix != ".yaml") == [
        "data",
        "log",
        "restored.json",
    ]


async def backup_of(pool, local, folder, version, write):
    async with started(pool, folder, version) as (_, (client,)):
        await write(client)
        return await take(client, local)


async def nothing(_):
    pass


async def delete_all(client):
    await write_some(client, rounds=60)
    deleted = await client.kv.delete_range(DeleteRange(key=ALL_KEYS, range_end=ALL_KEYS))
    await client.kv.compact(deleted.header.revision, physical=True)


async def first_event(client, watched):
    async with client.watch.open(watched) as stream:
        return await stream.receive(timeout_s=5)


@pytest.mark.parametrize("version", ["3.5.21", "3.6.16", "3.7.3"])
@pytest.mark.parametrize("write", [write_some, nothing, delete_all])
async def test_revisions_jump_and_nobody_goes_back_in_time(
    pool, local, volume, tmp_path, version, write
):
    manifest = await backup_of(pool, local, tmp_path / "source", version, write)
    path = manifest.folder("one").path
    seed = Seed(tmp_path / "seed", version, path, volume=volume, bumpRevision=JUMP)

    answer = await seed.restore()

    last = manifest.content.revision
    assert answer.restored_revision >= JUMP
    if write is write_some:
        assert answer.restored_revision == last + JUMP
    async with seed.running(pool) as client:
        assert (await client.maintenance.status()).revision == answer.restored_revision
        with pytest.raises(CompactedError):
            await client.kv.range(Range(key=b"k", revision=max(1, last - 1)))
        with pytest.raises(CompactedError) as cancelled:
            await first_event(client, WatchRange(key=b"k", start_revision=max(1, last)))
        assert cancelled.value.compact_revision == answer.restored_compact_revision
        put = await client.kv.put(Put(key=b"new", value=b"v"))
        assert put.header.revision == answer.restored_revision + 1


async def test_older_etcd_is_refused_and_nothing_is_left(pool, local, volume, tmp_path):
    manifest = await backup_of(pool, local, tmp_path / "source", "3.7.3", nothing)
    seed = Seed(tmp_path / "seed", "3.6.16", manifest.folder("one").path, volume=volume)

    with pytest.raises(BackupTooNewError, match=r"3\.7.*3\.6"):
        await seed.fetch()

    assert list((seed.root / "restore").iterdir()) == []


async def test_authentication_and_alarms_of_the_backup_are_told(pool, local, volume, tmp_path):
    """The member that raised the alarm is gone, and etcd goes on refusing writes for it."""
    async with started(pool, tmp_path / "source", "3.6.16") as (_, (client,)):
        await add_users(client)
        member_id = (await client.maintenance.status()).member_id
        await client.maintenance.raise_alarm(Alarm(member_id=member_id, kind=AlarmKind.NOSPACE))
        await client.auth.enable()
        root = client.with_token(await client.auth.authenticate("root", "root's password"))
        manifest = await take(root, local)
    seed = Seed(tmp_path / "seed", "3.6.16", manifest.folder("one").path, volume=volume)

    answer = await seed.restore()

    assert answer.auth_enabled
    assert answer.alarms == (f"NOSPACE {member_id_hex(member_id)}",)


async def killed(seed, pool, stage):
    """Somebody ends the pod there."""
    await seed.fetch()
    if stage == "fetch":
        seed.root.joinpath("restore/fetched.json").unlink()
    elif stage == "etcdutl":
        await seed.etcdutl()
        next(seed.root.glob("restore/data/member/wal/*.wal")).unlink()
    elif stage == "finish":
        await seed.etcdutl()
        seed.root.joinpath("restored.json").write_text("half of")


@pytest.mark.parametrize("stage", ["fetch", "etcdutl", "finish"])
async def test_killed_and_repeated(pool, local, volume, tmp_path, stage):
    manifest = await backup_of(pool, local, tmp_path / "source", "3.6.16", write_some)
    seed = Seed(tmp_path / "seed", "3.6.16", manifest.folder("one").path, volume=volume)

    await killed(seed, pool, stage)
    answer = await seed.restore()

    with pytest.raises(AlreadyDoneError) as done:
        await seed.fetch()
    assert done.value.answer == answer == await seed.finish()
    async with seed.running(pool) as client:
        assert len(await keys_at(client)) == manifest.content.keys
        await client.kv.put(Put(key=b"written after it", value=b"v"))
    with pytest.raises(AlreadyDoneError):
        await seed.fetch()
    async with seed.running(pool) as client:
        assert (await client.kv.range(Range(key=b"written after it"))).count == 1


async def test_data_of_others_are_left_alone(pool, local, volume, tmp_path):
    manifest = await backup_of(pool, local, tmp_path / "source", "3.6.16", nothing)
    path = manifest.folder("one").path
    seed = Seed(tmp_path / "seed", "3.6.16", path, volume=volume)
    await seed.restore()
    other = Seed(tmp_path / "seed", "3.6.16", path, volume=volume, token="uid-3")
    unmarked = Seed(tmp_path / "unmarked", "3.6.16", path, volume=volume)
    file = unmarked.root / "data/member/wal/0.wal"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"the only copy")

    for each in (other, unmarked):
        with pytest.raises(TargetNotEmptyError):
            await each.fetch()
        with pytest.raises(TargetNotEmptyError):
            await each.finish()

    assert file.read_bytes() == b"the only copy"
    assert read_database(seed.root / "data/member/snap/db").last_revision == 0


async def test_wrong_hash_is_taken_where_that_is_asked_for(pool, local, volume, tmp_path):
    async def write(client):
        for number in range(20):
            await client.kv.put(Put(key=b"k%d" % number, value=b"the value " * 5000))

    manifest = await backup_of(pool, local, tmp_path / "source", "3.6.16", write)
    folder = manifest.folder("one")
    part = folder.part(manifest.attempt, 0)
    data = bytearray(await local.get(part, max_bytes=1 << 23))
    at = data.index(b"the value the value")
    data[at : at + 3] = b"THE"
    await local.put(part, bytes(data))
    careful = Seed(tmp_path / "careful", "3.6.16", folder.path, volume=volume)
    with pytest.raises(PartCorruptedError):
        await careful.fetch()
    seed = Seed(tmp_path / "seed", "3.6.16", folder.path, volume=volume, skipHashCheck=True)

    answer = await seed.restore()

    assert len(answer.notes) == 2
    assert "part 0" in answer.notes[0]
    async with seed.running(pool) as client:
        found = await keys_at(client)
        assert len(found) == 20
        assert sum(b"THE value" in kv.value for kv in found) <= 1


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 40 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid():
        pytest.skip("mounting needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "small", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_volume_that_is_too_small_is_refused(pool, local, volume, tmp_path, small_disk):
    async with started(pool, tmp_path / "source", "3.6.16") as (_, (client,)):
        await write_bulk(client, mebibytes=60)
        manifest = await take(client, local)
    seed = Seed(small_disk, "3.6.16", manifest.folder("one").path, volume=volume)
    with pytest.raises(VolumeTooSmallError, match=str(needed_bytes(manifest))):
        await seed.fetch()
