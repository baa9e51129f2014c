"""A restored backup that an etcd of its own serves → whether it is what the manifest says.

What was asked of the saved member right after the snapshot is asked again: how many keys there are
at the snapshot's revision, and etcd's hash of all of them, with every revision in it. Nobody else
writes to that etcd; only its leases may run out meanwhile, which makes later revisions.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etcd.errors import EtcdError
from etcd.kv_types import ALL_KEYS, Range
from snapshots.errors import NotServedError, ServedDataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from etcd.client import EtcdClient
    from etcd.maintenance import Status
    from snapshots.manifest import KeyValueHash, Manifest

# As for snapshots: both read or count all keys.
COUNT_TIMEOUT_S = 60.0
HASH_TIMEOUT_S = 300.0
_STATUS_TIMEOUT_S = 5.0
_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What was found to be as in the manifest. keys, kv_hash: None where the manifest has none."""

    etcd_version: str
    revision: int
    keys: int | None
    kv_hash: int | None


async def compare(
    client: EtcdClient, manifest: Manifest, *, start_s: float, is_running: Callable[[], bool]
) -> Served:
    """start_s: how long etcd may take until it answers. is_running: whether its process is there.

    Raises ServedDataError for other data, NotServedError where etcd does not answer.
    """
    status = await status_once_up(client, start_s, is_running)
    revision = manifest.content.revision
    if status.revision < revision:
        message = f"etcd is at revision {status.revision}, and {revision} was saved"
        raise ServedDataError(message)
    try:
        keys = await _same_count(client, revision, manifest.content.keys)
        kv_hash = await _same_hash(client, revision, manifest.content.kv_hash)
    except EtcdError as failure:
        message = f"etcd started on the data, and then answers: {failure}"
        raise NotServedError(message) from failure
    return Served(etcd_version=status.version, revision=revision, keys=keys, kv_hash=kv_hash)


async def status_once_up(
    client: EtcdClient, start_s: float, is_running: Callable[[], bool]
) -> Status:
    """As soon as it has a leader, which has just given its leases their whole time again.

    Raises NotServedError.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + start_s
    was_running = False
    while True:
        try:
            status = await client.maintenance.status(timeout_s=_STATUS_TIMEOUT_S)
            if status.leader:
                return status
            words = "it has no leader"
        except EtcdError as failure:
            words = str(failure)
        runs = is_running()
        if was_running and not runs:
            raise NotServedError("etcd ended by itself on the restored data: see its log")
        was_running = runs
        if loop.time() >= deadline:
            message = f"etcd has not served the restored data within {start_s:.0f} s: {words}"
            raise NotServedError(message)
        await asyncio.sleep(_PAUSE_S)


async def _same_count(client: EtcdClient, revision: int, saved: int | None) -> int | None:
    if saved is None:
        return None
    every_key = Range(key=ALL_KEYS, range_end=ALL_KEYS, revision=revision, count_only=True)
    found = (await client.kv.range(every_key, timeout_s=COUNT_TIMEOUT_S)).count
    if found != saved:
        message = f"there are {found} keys at revision {revision}, and {saved} were saved"
        raise ServedDataError(message)
    return found


async def _same_hash(client: EtcdClient, revision: int, saved: KeyValueHash | None) -> int | None:
    if saved is None:
        return None
    found = await client.maintenance.hash_kv(revision=revision, timeout_s=HASH_TIMEOUT_S)
    if max(0, found.compact_revision) < saved.compact_revision:
        # The saved cluster was compacted between snapshot and hash: so are these data, then.
        await client.kv.compact(saved.compact_revision, timeout_s=HASH_TIMEOUT_S)
        found = await client.maintenance.hash_kv(revision=revision, timeout_s=HASH_TIMEOUT_S)
    if found.hash != saved.value:
        message = (
            f"etcd's hash of revision {revision} is {found.hash:#010x},"
            f" and the saved member's was {saved.value:#010x}"
        )
        raise ServedDataError(message)
    return found.hash
