"""A member's snapshot stream → a backup in a store: parts first, the manifest last.

The stream is checked by its own sha256 trailer (`etcd.snapshot_stream`), read for what it holds
(`snapshots.database`), and goes on in parts while it comes: a few of them are in memory, whatever
the size of the database. Until the manifest is there, nothing is a backup. A failed attempt takes
its parts away again; those of one that couldn't, `catalog.delete_orphans`.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import structlog

from etcd.errors import EtcdError
from etcd.ids import cluster_id_hex, member_id_hex
from etcd.kv_types import ALL_KEYS, Range
from etcd.retry import retry_read
from snapshots.catalog import find_manifest
from snapshots.encoding import Encoder, FinishedPart
from snapshots.errors import ObjectExistsError, StoreError
from snapshots.failures import first_failure
from snapshots.layout import BackupFolder
from snapshots.manifest import (
    Cluster,
    Content,
    Database,
    Encryption,
    KeyValueHash,
    Manifest,
    Member,
    Part,
    write_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from etcd.client import EtcdClient
    from etcd.maintenance import Status
    from snapshots.database import DatabaseFacts
    from snapshots.encryption import EncryptionKey
    from snapshots.stores import Store

    Clock: TypeAlias = Callable[[], datetime]
    Progress: TypeAlias = Callable[[int, int], None]

log = structlog.get_logger(__name__)

STATUS_TIMEOUT_S = 10.0
# Both read or count all keys: a member with 8 GiB takes its time, and serves others meanwhile.
COUNT_TIMEOUT_S = 60.0
HASH_TIMEOUT_S = 300.0
CLEANUP_TIMEOUT_S = 20.0
UPLOADS_AT_ONCE = 3
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRequest:
    """What to call the backup, whose it is, and how to write it.

    backup: its name in the store. epoch, namespace, name, uid: see `manifest.Cluster`. member: the
    name of the one that is asked. key: None for none.
    """

    backup: str
    epoch: int
    namespace: str
    name: str
    uid: str
    member: str
    compress: bool
    key: EncryptionKey | None


async def capture(
    client: EtcdClient,
    store: Store,
    request: CaptureRequest,
    *,
    now: Clock,
    progress: Progress | None = None,
) -> Manifest:
    """Takes the backup, or finds that it was taken already: what is there then counts.

    progress: hears bytes read, of bytes in all. Raises EtcdError, StoreError,
    DatabaseUnreadableError where what the member sent isn't a database, ManifestInvalidError for
    what is there under that name, ValueError for names that can't be ones. Repeat it as a whole.
    Cancelled: takes its parts away, within 20 seconds.
    """
    status = await retry_read(client.maintenance.status, timeout_s=STATUS_TIMEOUT_S)
    folder = BackupFolder(cluster_id=status.cluster_id, epoch=request.epoch, name=request.backup)
    cluster, member = _source(request, status)
    present = await find_manifest(store, folder)
    if present is not None:
        return present
    attempt = secrets.token_hex(8)
    started_at = now()
    uploads = _Uploads(store, folder, attempt)
    encoder = Encoder(compress=request.compress, key=request.key)
    try:
        database = await _store_stream(client, encoder, uploads, progress)
        content = await _content(client, encoder.database.facts())
    except BaseException:
        await uploads.take_back()
        raise
    manifest = Manifest(
        cluster=cluster,
        member=member,
        content=content,
        database=database,
        started_at=started_at,
        # The clock may have been set back meanwhile.
        completed_at=max(started_at, now()),
        compression="zstd" if request.compress else "none",
        encryption=Encryption(key_id=request.key.id) if request.key is not None else None,
        attempt=attempt,
        parts=tuple(uploads.parts),
    )
    # From here on the parts stay: after an error nobody knows whether the manifest is there.
    published = await _publish(store, folder, manifest)
    if published.attempt != attempt:
        await uploads.take_back()
    return published


def _source(request: CaptureRequest, status: Status) -> tuple[Cluster, Member]:
    cluster = Cluster(
        id=cluster_id_hex(status.cluster_id),
        epoch=request.epoch,
        namespace=request.namespace,
        name=request.name,
        uid=request.uid,
    )
    member_id = member_id_hex(status.member_id)
    member = Member(id=member_id, name=request.member, etcd_version=status.version)
    return cluster, member


async def _publish(store: Store, folder: BackupFolder, manifest: Manifest) -> Manifest:
    """Ours, or the one of another attempt that was faster."""
    try:
        await store.create(folder.manifest, write_manifest(manifest))
    except ObjectExistsError:
        present = await find_manifest(store, folder)
        if present is None:
            raise
        return present
    return manifest


async def _store_stream(
    client: EtcdClient, encoder: Encoder, uploads: _Uploads, progress: Progress | None
) -> Database:
    """Reads the stream to its proven end while its parts go to the store."""
    try:
        async with asyncio.TaskGroup() as tasks:
            return await _encode_stream(client, encoder, uploads, progress, tasks)
    except BaseExceptionGroup as group:
        raise first_failure(group) from None


async def _encode_stream(
    client: EtcdClient,
    encoder: Encoder,
    uploads: _Uploads,
    progress: Progress | None,
    tasks: asyncio.TaskGroup,
) -> Database:
    size = 0
    trailer = b""
    block: list[bytes] = []
    block_size = 0
    encoding: asyncio.Task[list[FinishedPart]] | None = None
    async with aclosing(client.maintenance.snapshot()) as stream:
        async for chunk in stream:
            if chunk.is_trailer:
                trailer = chunk.blob
                continue
            size += len(chunk.blob)
            block.append(chunk.blob)
            block_size += len(chunk.blob)
            if block_size < _BLOCK_BYTES and chunk.remaining_bytes:
                continue
            # One block is worked on in a thread while the next one comes.
            if encoding is not None:
                await uploads.add(await encoding, tasks)
            encoding = tasks.create_task(asyncio.to_thread(_encode, encoder, block))
            block, block_size = [], 0
            if progress is not None:
                progress(size, size + chunk.remaining_bytes)
    if encoding is not None:
        await uploads.add(await encoding, tasks)
    await uploads.add(await asyncio.to_thread(encoder.finish, trailer), tasks)
    return Database(size=size, sha256=trailer.hex())


def _encode(encoder: Encoder, block: list[bytes]) -> list[FinishedPart]:
    return encoder.feed(b"".join(block))


async def _content(client: EtcdClient, facts: DatabaseFacts) -> Content:
    """What the file says, and what the member says of that revision."""
    return Content(
        revision=facts.revision,
        compact_revision=facts.compact_revision,
        raft_index=facts.raft_index,
        raft_term=facts.raft_term,
        storage_version=facts.storage_version,
        keys=await _count_keys(client, facts.revision),
        kv_hash=await _hash_keys(client, facts.revision),
    )


async def _count_keys(client: EtcdClient, revision: int) -> int | None:
    every_key = Range(
        key=ALL_KEYS, range_end=ALL_KEYS, revision=revision, count_only=True, serializable=True
    )
    try:
        return (await client.kv.range(every_key, timeout_s=COUNT_TIMEOUT_S)).count
    except EtcdError as failure:
        log.warning(
            "the keys of a backup could not be counted", revision=revision, error=str(failure)
        )
        return None


async def _hash_keys(client: EtcdClient, revision: int) -> KeyValueHash | None:
    try:
        found = await client.maintenance.hash_kv(revision=revision, timeout_s=HASH_TIMEOUT_S)
    except EtcdError as failure:
        log.warning(
            "the keys of a backup could not be hashed", revision=revision, error=str(failure)
        )
        return None
    return KeyValueHash(value=found.hash, compact_revision=max(0, found.compact_revision))


class _Uploads:
    """The parts of one attempt on their way to the store, a few at a time."""

    def __init__(self, store: Store, folder: BackupFolder, attempt: str) -> None:
        self.parts: list[Part] = []
        self._store = store
        self._folder = folder
        self._attempt = attempt
        self._allowed = asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def add(self, finished: list[FinishedPart], tasks: asyncio.TaskGroup) -> None:
        """Starts uploading; waits while too many others are on."""
        for one in finished:
            await self._allowed.acquire()
            self.parts.append(one.part)
            tasks.create_task(self._upload(one))

    async def take_back(self) -> None:
        """Deletes what was uploaded, as far as it can be done soon."""
        paths = [self._folder.part(self._attempt, number) for number in range(len(self.parts))]
        try:
            async with asyncio.timeout(CLEANUP_TIMEOUT_S):
                await self._store.delete(paths)
        except (StoreError, TimeoutError) as failure:
            log.warning(
                "parts of a failed backup stay until they are orphans",
                folder=self._folder.path,
                attempt=self._attempt,
                error=str(failure),
            )

    async def _upload(self, one: FinishedPart) -> None:
        path = self._folder.part(self._attempt, one.number)
        upload = asyncio.ensure_future(self._store.put(path, one.data))
        try:
            await asyncio.shield(upload)
        except asyncio.CancelledError:
            # What has left arrives all the same: only then can it be taken back.
            await asyncio.wait([upload], timeout=CLEANUP_TIMEOUT_S)
            upload.cancel()
            # Nobody asks any more how it ended.
            upload.add_done_callback(_ignore)
            raise
        finally:
            self._allowed.release()


def _ignore(upload: asyncio.Future[None]) -> None:
    """Looks at the failure, else asyncio complains that nobody did."""
    if not upload.cancelled():
        upload.exception()
