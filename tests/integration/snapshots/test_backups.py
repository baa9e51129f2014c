"""A backup of real etcd in a real store, restored by etcd's own tool, is what the manifest says."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from etcd.errors import EtcdError
from etcd.kv_types import ALL_KEYS, DeleteRange
from snapshots import store_config
from snapshots.catalog import delete_orphans, find_manifest, list_backups
from snapshots.encryption import EncryptionKey
from snapshots.errors import StoreUnavailableError
from snapshots.fetch import check_parts, fetch
from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.stores import open_store
from tests.integration.etcd.processes import VERSIONS, wait_for
from tests.integration.snapshots.etcds import (
    keys_at,
    restored,
    started,
    take,
    write_bulk,
    write_some,
    written_to,
)
from tests.integration.snapshots.servers import S3

KEY = EncryptionKey(id="2026-01", secret=os.urandom(32))


@pytest.fixture
def local(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return open_store(LocalLocation(folder=folder), WorkloadIdentity())


async def fetched(store, manifest, folder):
    file = folder / "snapshot.db"
    await fetch(store, manifest.folder("one"), manifest, file, keys=[KEY])
    return file


@pytest.mark.parametrize("version", VERSIONS)
async def test_manifest_says_what_a_restore_finds(pool, local, tmp_path, version):
    """While others write: so no answer of the member is of the snapshot's moment."""
    async with started(pool, tmp_path / "source", version) as (_, (client,)):
        await write_some(client)
        async with written_to(client):
            manifest = await take(client, local)
        source = await keys_at(client, manifest.content.revision)

    file = await fetched(local, manifest, tmp_path)
    async with restored(pool, tmp_path / "restored", version, file) as client:
        status = await client.maintenance.status()
        found = await client.maintenance.hash_kv(revision=manifest.content.revision)
        assert status.revision == manifest.content.revision
        assert await keys_at(client) == source
        assert manifest.content.keys == len(source)
        assert found.compact_revision == manifest.content.compact_revision
        assert (found.hash, found.compact_revision) == (
            manifest.content.kv_hash.value,
            manifest.content.kv_hash.compact_revision,
        )
    assert manifest.member.etcd_version == version
    assert manifest.content.storage_version == ("" if version < "3.6" else f"{version[:3]}.0")


async def test_backup_in_every_store_is_restored(pool, store, tmp_path):
    async with started(pool, tmp_path / "source", "3.6.16") as (_, (client,)):
        await write_bulk(client, mebibytes=20)
        manifest = await take(client, store, compress=True, key=KEY)
        source = await keys_at(client)

    assert await list_backups(store) == (manifest.folder("one"),)
    read = await find_manifest(store, manifest.folder("one"))
    assert read == manifest
    assert len(read.parts) > 1
    await check_parts(store, manifest.folder("one"), read)
    file = await fetched(store, read, tmp_path)
    async with restored(pool, tmp_path / "restored", "3.6.16", file) as client:
        assert await keys_at(client) == source


async def test_member_without_quorum_is_saved(pool, local, tmp_path):
    async with started(pool, tmp_path / "source", "3.6.16", 3) as (cluster, clients):
        await write_some(clients[0], rounds=60)
        source = await keys_at(clients[0])
        for member in cluster.members[1:]:
            member.kill()

        manifest = await take(clients[0], local)

    assert manifest.content.keys == len(source)
    file = await fetched(local, manifest, tmp_path)
    async with restored(pool, tmp_path / "restored", "3.6.16", file) as client:
        assert await keys_at(client) == source


async def test_learner_is_saved_without_a_hash(pool, local, tmp_path):
    """It refuses HashKV, and counts its own keys."""
    async with started(pool, tmp_path / "source", "3.6.16") as (cluster, (client,)):
        await write_some(client, rounds=60)
        source = await keys_at(client)
        learner = cluster.new_member()
        await client.cluster.member_add(peer_urls=[learner.peer_url], is_learner=True)
        try:
            learner.start(cluster.initial_cluster(learner), state="existing")
            asked = pool.client(learner.endpoint())

            async def caught_up():
                return await keys_at(asked) == source

            await wait_for(caught_up)
            manifest = await take(asked, local)
        finally:
            learner.kill()

    assert (manifest.content.keys, manifest.content.kv_hash) == (len(source), None)
    file = await fetched(local, manifest, tmp_path)
    async with restored(pool, tmp_path / "restored", "3.6.16", file) as client:
        assert await keys_at(client) == source


async def test_new_cluster_is_saved(pool, local, tmp_path):
    async with started(pool, tmp_path / "source", "3.7.3") as (_, (client,)):
        manifest = await take(client, local)

    assert (manifest.content.revision, manifest.content.keys) == (1, 0)
    assert manifest.content.compact_revision == 0


async def test_everything_deleted_and_compacted_keeps_its_revision(pool, local, tmp_path):
    async with started(pool, tmp_path / "source", "3.5.35") as (_, (client,)):
        await write_some(client, rounds=60)
        deleted = await client.kv.delete_range(DeleteRange(key=ALL_KEYS, range_end=ALL_KEYS))
        await client.kv.compact(deleted.header.revision, physical=True)
        manifest = await take(client, local)

    assert manifest.content.revision == deleted.header.revision
    assert manifest.content.compact_revision == deleted.header.revision
    assert manifest.content.keys == 0


async def test_member_that_dies_in_the_middle_leaves_nothing(pool, local, tmp_path):
    class Deadly:
        """Kills the member when the first part arrives."""

        def __getattr__(self, name):
            return getattr(local, name)

        async def put(self, path, data, **options):
            cluster.members[0].kill()
            await local.put(path, data, **options)

    async with started(pool, tmp_path / "source", "3.6.16") as (cluster, (client,)):
        await write_bulk(client, mebibytes=60)
        with pytest.raises(EtcdError):
            await take(client, Deadly())

    assert [found.path async for found in local.list()] == []


async def test_store_that_dies_in_the_middle_is_cleaned_up_later(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(store_config, "MAX_RETRIES", 1)
    folder = tmp_path / "s3"
    folder.mkdir()
    server = S3(folder)

    class Deadly:
        """The store dies when the third part is there."""

        def __getattr__(self, name):
            return getattr(store, name)

        async def put(self, path, data, **options):
            await store.put(path, data, **options)
            if path.endswith("00002"):
                server.kill()

    try:
        server.start()
        store = open_store(server.location(), server.credentials)
        async with started(pool, tmp_path / "source", "3.6.16") as (_, (client,)):
            await write_bulk(client, mebibytes=40)
            with pytest.raises(StoreUnavailableError):
                await take(client, Deadly())
            server.start()
            left = {found.path async for found in store.list()}
            assert await list_backups(store) == ()
            assert len(left) >= 3

            manifest = await take(client, store)
        some_day = datetime.max.replace(tzinfo=UTC)
        assert set(await delete_orphans(store, now=some_day, older_than=timedelta())) == left
        await check_parts(store, manifest.folder("one"), manifest)
    finally:
        server.kill()
