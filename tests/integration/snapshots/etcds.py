"""Etcd with a life of its own: writers that go on, and restores of what was saved of it."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from etcd.errors import EtcdError
from etcd.kv_types import ALL_KEYS, DeleteRange, Put, Range
from snapshots.capture import CaptureRequest, capture
from tests.integration.etcd.processes import Cluster, programs, wait_for

RESTORE_DEADLINE_S = 60
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@asynccontextmanager
async def started(pool, folder, version, size=1):
    """A cluster of our own; yields it and the clients of its members."""
    cluster = Cluster(folder, version, size)
    try:
        cluster.start()
        clients = [pool.client(member.endpoint()) for member in cluster.members]
        for client in clients:
            await wait_for(lambda client=client: elected(client))
        yield cluster, clients
    finally:
        cluster.kill()


async def elected(client):
    return (await client.maintenance.status(timeout_s=2)).leader


async def write_some(client, *, seed=0, rounds=300):
    """Puts of all sizes, deletions of one and of many, keys with leases, compactions."""
    chance = random.Random(seed)
    lease = await client.lease.grant(3600)
    for number in range(rounds):
        key = b"key-%d" % chance.randrange(80)
        value = chance.randbytes(chance.choice([0, 10, 300, 5000, 70_000]))
        put = await client.kv.put(
            Put(key=key, value=value, lease=lease.id if number % 7 == 0 else 0)
        )
        if number % 11 == 0:
            await client.kv.delete_range(DeleteRange(key=b"key-1", range_end=b"key-2"))
        if number % 50 == 49:
            await client.kv.compact(put.header.revision - 20, physical=True)


async def write_bulk(client, *, mebibytes):
    """That much, of which nothing can be compressed."""
    for number in range(mebibytes):
        await client.kv.put(Put(key=b"bulk-%d" % number, value=os.urandom(1 << 20)))


@asynccontextmanager
async def written_to(client):
    """While it lasts, somebody writes without pause."""

    async def write():
        number = 0
        while True:
            number += 1
            try:
                await client.kv.put(Put(key=b"busy-%d" % (number % 50), value=bytes(2000)))
            except EtcdError:
                return

    async with asyncio.TaskGroup() as tasks:
        writer = tasks.create_task(write())
        yield
        writer.cancel()


def request(**changes):
    settings = {
        "backup": "one",
        "epoch": 0,
        "namespace": "ns",
        "name": "main",
        "uid": "uid",
        "member": "main-0",
        "compress": False,
        "key": None,
    }
    return CaptureRequest(**settings | changes)


async def take(client, store, **changes):
    return await capture(client, store, request(**changes), now=lambda: NOON)


async def restore(member, file, *more):
    """Makes the member's data of the snapshot, by etcd's own tool, with these arguments more."""
    tool = await asyncio.create_subprocess_exec(
        programs(member.version) / "etcdutl",
        *("snapshot", "restore", file, "--data-dir", member.folder / "data"),
        *("--name", member.name, "--initial-cluster", f"{member.name}={member.peer_url}"),
        *("--initial-advertise-peer-urls", member.peer_url),
        *more,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(RESTORE_DEADLINE_S):
        _, said = await tool.communicate()
    assert tool.returncode == 0, said.decode()


@asynccontextmanager
async def restored(pool, folder, version, file, *more, extra=None):
    """A new cluster of one from the snapshot file; yields its client.

    more: arguments of etcdutl. extra: keys of the member's file.
    """
    cluster = Cluster(folder, version, 1, extra=extra)
    (member,) = cluster.members
    member.folder.mkdir(parents=True)
    try:
        await restore(member, file, *more)
        cluster.start()
        client = pool.client(member.endpoint())
        await wait_for(lambda: elected(client))
        yield client
    finally:
        cluster.kill()


async def keys_at(client, revision=0):
    """All keys with their values and revisions, at a revision."""
    every = Range(key=ALL_KEYS, range_end=ALL_KEYS, revision=revision, serializable=True)
    return (await client.kv.range(every, timeout_s=20)).kvs
