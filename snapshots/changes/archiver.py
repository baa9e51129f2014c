"""A watch on all keys → segments in a store, whole revisions only.

Nothing is told to be kept before its segment is in the store. Each segment is created, never
written over: of two archivers the one that comes second finds the place taken, and ends. What was
not stored when the process dies is watched again from the last segment on; where etcd has compacted
it meanwhile, or leaves it out, the chain ends, and the next one begins at a newer backup.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from etcd.errors import CompactedError, EtcdError
from etcd.kv_types import ALL_KEYS, Range
from etcd.watch import EventKind, WatchRange
from snapshots.changes.history import Chain, read_chains
from snapshots.changes.segment import (
    MAX_SEGMENT_BYTES,
    Change,
    Place,
    Revised,
    next_place,
    read_header,
    write_segment,
)
from snapshots.changes.source import GrantedTimes, check_cluster, check_source
from snapshots.errors import (
    BaseNeededError,
    ChangesLostError,
    FencedError,
    ObjectExistsError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from etcd.client import EtcdClient
    from etcd.watch import Event, WatchBatch, WatchStream
    from snapshots.changes.history import Base
    from snapshots.changes.layout import ChainFolder, LogFolder
    from snapshots.encryption import EncryptionKey
    from snapshots.stores import Store

_FIRST_KEY: Final = b"\0"
# An idle log grows by a segment at each of these, which moves the end of its window.
HEARTBEAT: Final = timedelta(minutes=10)
_ASK_EVERY: Final = timedelta(seconds=2)
_ASK_TIMEOUT_S: Final = 8.0
_LONGEST_RECEIVE_S: Final = 1.0
_STORE_RETRY_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveRequest:
    """What to keep, and where.

    cluster: etcd's ID as it writes it. flush_interval: how old a change may become before it is
    stored; max_bytes: how many bytes of keys and values are stored at the latest.
    """

    log: LogFolder
    cluster: str
    flush_interval: timedelta
    max_bytes: int
    compress: bool
    key: EncryptionKey | None


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far it is; changed while it goes on.

    revision, complete_until: all changes up to there are in the store, and the store says so. safe:
    up to when nothing would be lost with etcd; later than complete_until while nothing happens.
    seen: the last revision that etcd told of. unstored_since: when the oldest change came that is
    not in the store. chains: of the log, as far as they are in the store. trouble: why the store
    does not take what it is given at the moment.
    """

    revision: int | None = None
    complete_until: datetime | None = None
    safe: datetime | None = None
    seen: int | None = None
    unstored_since: datetime | None = None
    chain: int | None = None
    chains: dict[ChainFolder, Chain] = field(default_factory=dict)
    trouble: StoreUnavailableError | None = None


async def archive(
    client: EtcdClient,
    store: Store,
    request: ArchiveRequest,
    *,
    bases: tuple[Base, ...],
    stop: asyncio.Event,
    progress: Progress,
    now: Callable[[], datetime],
) -> None:
    """Until told to stop: what has come by then is stored.

    bases: the backups of this line of history. Raises BaseNeededError where no chain can go on and
    no backup is new enough to begin one at; FencedError when another archiver is at work;
    WrongSourceError, before anything is written; StoreError, SegmentInvalidError, EtcdError. After
    any of them it can be called again.
    """
    await check_source(client, request.log.cluster_id)
    chains = await read_chains(store, request.log.path)
    progress.chains = {chain.folder: chain for chain in chains}
    progress.unstored_since = None
    last = max(chains, key=lambda chain: (chain.last.last_revision, chain.folder), default=None)
    if last is not None:
        progress.revision = last.last.last_revision
        progress.complete_until = last.last.complete_until
        progress.safe = max(filter(None, (progress.safe, progress.complete_until)))
    told = "there is no backup yet that changes could go on from"
    for place in _places(request, last, bases):
        archiver = _Archiver(
            client=client, store=store, request=request, place=place, progress=progress, now=now
        )
        try:
            await archiver.run(stop)
        except CompactedError as failure:
            told = f"etcd has compacted what comes before revision {failure.compact_revision}"
        except ChangesLostError as failure:
            told = str(failure)
        else:
            return
    raise BaseNeededError(told)


def _places(request: ArchiveRequest, last: Chain | None, bases: tuple[Base, ...]) -> list[Place]:
    """Behind the last segment; else at the newest backup, which begins a new chain."""
    places = [next_place(last.last, last.sha256)] if last is not None else []
    newest = max(bases, key=lambda base: base.revision, default=None)
    if newest is not None and (last is None or newest.revision > last.last.last_revision):
        places.append(
            Place(
                cluster=request.cluster,
                epoch=request.log.epoch,
                chain=newest.revision + 1,
                number=0,
                first_revision=newest.revision + 1,
                previous="",
            )
        )
    return places


@dataclass(slots=True)
class _Buffer:
    """What has come and is not stored yet."""

    revisions: list[Revised] = field(default_factory=list)
    size: int = 0
    since: datetime | None = None

    def add(self, revised: Revised, at: datetime) -> None:
        self.revisions.append(revised)
        self.size += sum(len(change.key) + len(change.value) + 32 for change in revised.changes)
        self.since = self.since or at


@dataclass(slots=True, kw_only=True)
class _Archiver:
    """One chain, from one place on.

    pieces: of a revision that comes in fragments. certified: when etcd was asked last and had
    nothing more.
    """

    client: EtcdClient
    store: Store
    request: ArchiveRequest
    place: Place
    progress: Progress
    now: Callable[[], datetime]
    buffer: _Buffer = field(default_factory=_Buffer)
    pieces: list[tuple[int, Change]] = field(default_factory=list)
    granted: GrantedTimes = field(default_factory=GrantedTimes)
    certified: datetime | None = None
    stored_at: datetime | None = None

    async def run(self, stop: asyncio.Event) -> None:
        watched = WatchRange(
            key=_FIRST_KEY,
            range_end=ALL_KEYS,
            # Of a watch on the future etcd tells no progress until something happens
            # (server/storage/mvcc/watchable_store.go, progressIfSync).
            start_revision=max(1, self.place.first_revision - 1),
            progress_notify=True,
            fragment=True,
        )
        async with self.client.watch.open(watched) as stream:
            self.progress.chain = self.place.chain
            self.progress.seen = self.place.first_revision - 1
            try:
                await self._follow(stream, stop)
            except (EtcdError, ChangesLostError):
                # It may be all that is left of these changes.
                if self.buffer.revisions:
                    await self._flush(stop)
                raise

    async def _follow(self, stream: WatchStream, stop: asyncio.Event) -> None:
        asked: datetime | None = None
        # etcd leaves out the answer while a watch has not caught up: since the oldest question.
        open_since: datetime | None = None
        newest = 0
        while not stop.is_set():
            now = self.now()
            if asked is None or now >= asked + _ASK_EVERY:
                newest = await self._newest()
                await stream.request_progress()
                asked, open_since = now, open_since or now
            batch = await stream.receive(timeout_s=_LONGEST_RECEIVE_S)
            if batch is not None:
                check_cluster(batch.header.cluster_id, self.request.log.cluster_id)
                self._take(batch)
                # Every revision has changes: one that did not come yet is on its way.
                known = not batch.events and batch.header.revision == self._seen >= newest
                if known and not self.pieces:
                    self.certified, open_since = open_since or self.certified, None
            if self.certified is not None and not self.buffer.revisions:
                self.progress.safe = self.certified
            if self._is_due():
                await self._flush(stop)
        if self.buffer.revisions:
            await self._flush(stop)

    async def _newest(self) -> int:
        """The cluster's revision, by its quorum: a member that is cut off knows of nothing new."""
        one = Range(key=_FIRST_KEY, limit=1, keys_only=True)
        return (await self.client.kv.range(one, timeout_s=_ASK_TIMEOUT_S)).header.revision

    @property
    def _seen(self) -> int:
        revisions = self.buffer.revisions
        return revisions[-1].revision if revisions else self.place.first_revision - 1

    def _take(self, batch: WatchBatch) -> None:
        if not batch.events:
            return
        self.pieces += [(event.kv.mod_revision, _change(event)) for event in batch.events]
        now = self.now()
        by_revision: dict[int, list[Change]] = defaultdict(list)
        for revision, change in self._whole(batch):
            by_revision[revision].append(change)
        for revision, changes in sorted(by_revision.items()):
            if revision < self.place.first_revision:
                continue
            if revision != self._seen + 1:
                message = f"after revision {self._seen} etcd told of {revision}: changes are lost"
                raise ChangesLostError(message)
            received_ms = int(now.timestamp() * 1000)
            revised = Revised(revision=revision, received_ms=received_ms, changes=tuple(changes))
            self.buffer.add(revised, now)
        self.progress.seen = self._seen
        self.progress.unstored_since = self.buffer.since

    def _whole(self, batch: WatchBatch) -> list[tuple[int, Change]]:
        """What is of revisions of which no further piece comes; that is no piece any more.

        Up to a thousand revisions come in pieces after an absence: not all of them fit into memory.
        """
        whole, self.pieces = self.pieces, []
        if batch.fragment:
            last = max(revision for revision, _ in whole)
            self.pieces = [piece for piece in whole if piece[0] == last]
            whole = [piece for piece in whole if piece[0] < last]
        return whole

    def _is_due(self) -> bool:
        now, buffer = self.now(), self.buffer
        if buffer.size >= self.request.max_bytes:
            return True
        if buffer.since is not None:
            return now >= buffer.since + self.request.flush_interval
        # The first one says that the chain is there; later ones, that nothing happened.
        since = self.stored_at
        return self.certified is not None and (since is None or now >= since + HEARTBEAT)

    async def _flush(self, stop: asyncio.Event) -> None:
        revisions = tuple(self.buffer.revisions)
        leases = await self.granted.of(
            self.client, {c.lease for revised in revisions for c in revised.changes if c.lease}
        )
        until = self.certified or datetime.fromtimestamp(0, UTC)
        if revisions:
            until = max(until, datetime.fromtimestamp(revisions[-1].received_ms / 1000, UTC))
        if self.progress.complete_until is not None:
            until = max(until, self.progress.complete_until)
        data, header, sha256 = await asyncio.to_thread(
            write_segment,
            self.place,
            revisions,
            leases,
            complete_until=until,
            compress=self.request.compress,
            key=self.request.key,
        )
        await self._create(data, sha256, stop)
        self.place = next_place(header, sha256)
        self.buffer = _Buffer()
        self.stored_at = self.now()
        folder = self.request.log.chain(header.chain)
        self.progress.chains[folder] = Chain(folder=folder, last=header, sha256=sha256)
        self.progress.safe = max(filter(None, (self.progress.safe, header.complete_until)))
        self.progress.revision = header.last_revision
        self.progress.complete_until = header.complete_until
        self.progress.unstored_since = None

    async def _create(self, data: bytes, sha256: str, stop: asyncio.Event) -> None:
        """Until the store has it: what is read from etcd meanwhile waits in etcd."""
        path = self.request.log.chain(self.place.chain).segment(self.place.number)
        while True:
            try:
                await self.store.create(path, data)
            except ObjectExistsError as failure:
                # Ours, if its answer was lost.
                found = await self.store.get(path, max_bytes=MAX_SEGMENT_BYTES)
                if read_header(found)[1] != sha256:
                    message = f"{path} was written by another archiver"
                    raise FencedError(message) from failure
            except StoreUnavailableError as failure:
                self.progress.trouble = failure
                if stop.is_set():
                    raise
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _STORE_RETRY_S)
                continue
            self.progress.trouble = None
            return


def _change(event: Event) -> Change:
    kv = event.kv
    return Change(
        deleted=event.kind is EventKind.DELETE,
        key=kv.key,
        value=kv.value,
        lease=kv.lease,
        create_revision=kv.create_revision,
        version=kv.version,
    )
