"""A restore to a revision or a time: from the backup before it, on by the changes that were kept.

The step that fetches finds the way; the last one goes it, with an etcd on the restored data beside
it that nobody else reaches (`cli.agent.private_etcd`).
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from cli.agent.backup import log_progress, named_folder, read_backup
from cli.agent.private_etcd import PrivateEtcd
from controllers.restore.order import REPLAY_TLS_FOLDER, Replayed
from etcd.errors import EtcdError
from etcd.kv_types import ALL_KEYS, Range
from snapshots.catalog import find_manifest
from snapshots.changes.held import read_held
from snapshots.changes.history import read_bases, read_chains, way_to_revision, way_to_time
from snapshots.changes.replay import Target, replay
from snapshots.errors import BackupMissingError, NotServedError, ReplayError, RestoredDataError
from snapshots.layout import MANIFEST_NAME, BackupFolder, parse_path
from snapshots.placing import beginning, check_restored
from snapshots.served import COUNT_TIMEOUT_S, status_once_up

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from controllers.restore.order import ExamineOrder, RestoreOrder
    from etcd.client import EtcdClient
    from snapshots.changes.held import Held
    from snapshots.changes.history import Way
    from snapshots.changes.segment import Body
    from snapshots.database_file import DatabaseState
    from snapshots.manifest import Manifest
    from snapshots.placing import Fetched, Volume
    from snapshots.stores import Store

# etcd reads all keys before it answers: of 8 GiB for some minutes.
START_S: Final = 600.0
_END_S: Final = 60.0
# Of changes: so often what they have written over is taken out of the database again.
COMPACT_EVERY_BYTES: Final = 64 << 20
_COMPACT_TIMEOUT_S: Final = 600.0
_DEFRAGMENT_TIMEOUT_S: Final = 1800.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Found:
    """The backup that is restored. way: on from it to the target; None for the backup itself."""

    folder: BackupFolder
    manifest: Manifest
    way: Way | None


async def find_base(order: RestoreOrder | ExamineOrder, store: Store) -> Found:
    """The backup that the order names; with a target the last one before it in its history.

    Raises StoreError, BackupMissingError, ManifestInvalidError, SegmentInvalidError,
    NotRestorableError.
    """
    if order.revision is None and order.point_in_time is None:
        return Found(*await read_backup(order, store), None)
    line = named_folder(order).line
    bases, chains = await read_bases(store, line), await read_chains(store, line)
    if order.revision is not None:
        way = way_to_revision(bases, chains, order.revision)
    else:
        assert order.point_in_time is not None
        way = way_to_time(bases, chains, order.point_in_time)
    folder = parse_path(f"{way.base.path}/{MANIFEST_NAME}")
    assert isinstance(folder, BackupFolder)
    manifest = await find_manifest(store, folder)
    if manifest is None:
        message = f"{folder.path} was deleted meanwhile"
        raise BackupMissingError(message)
    log.info("goes on from a backup", backup=folder.path, revision=way.base.revision)
    return Found(folder, manifest, way)


@dataclass(frozen=True, slots=True)
class Reached:
    """compacted: up to which of its own revisions the data have only what is newest; 0: all are as
    they were restored.
    """

    replayed: Replayed
    compacted: int


async def replay_changes(
    order: RestoreOrder, fetched: Fetched, held: Held, volume: Volume, *, port: int
) -> Reached:
    """Brings the restored data to the target. Then etcd is ended, whatever came of it.

    Raises ReplayError, RestoredDataError, OSError.
    """
    tls = volume.root / REPLAY_TLS_FOLDER
    etcd = PrivateEtcd(order.member, data=volume.restored, tls=tls, port=port)
    try:
        async with etcd.client() as client:
            await status_once_up(client, START_S, lambda: etcd.is_running)
            return await _Replay(client, order, fetched, held, volume).run()
    except NotServedError as failure:
        raise ReplayError(str(failure)) from failure
    except EtcdError as failure:
        message = f"etcd did not take the changes: {failure}"
        raise ReplayError(message) from failure
    finally:
        # What comes next works on its files.
        if not await etcd.end(within_s=_END_S):
            message = f"etcd has not ended within {_END_S:.0f} s"
            raise ReplayError(message)


def check_reached(
    order: RestoreOrder, fetched: Fetched, volume: Volume, reached: Reached
) -> DatabaseState:
    """Whether what etcd has left on the disk is all of it, and nothing else. Raises ReplayError."""
    try:
        return check_restored(
            volume,
            fetched.manifest,
            order.bump_revision,
            replayed=reached.replayed.revisions,
            compacted=reached.compacted,
        )
    except RestoredDataError as failure:
        message = f"after the changes were replayed: {failure}"
        raise ReplayError(message) from failure


@dataclass(slots=True)
class _Replay:
    """times: when the last revisions that were read came, in Unix milliseconds."""

    client: EtcdClient
    order: RestoreOrder
    fetched: Fetched
    held: Held
    volume: Volume
    compacted: int = 0
    keys: int = 0
    times: dict[int, int] = field(default_factory=dict)

    async def run(self) -> Reached:
        base = self.fetched.manifest.content.revision
        begun = beginning(self.volume, self.fetched.manifest, self.order.bump_revision).revision
        found = (await self.client.maintenance.status()).revision
        if found != begun:
            message = (
                f"etcd begins at revision {found} instead of {begun}: a lease of the backup has"
                " ended before it could be kept alive"
            )
            raise ReplayError(message)
        # Of members that are gone: with one of them etcd takes no change.
        for alarm in await self.client.maintenance.alarms():
            await self.client.maintenance.disarm(alarm)
        async with aclosing(self._bodies(base, begun - base)) as bodies:
            replayed = await replay(
                self.client,
                bodies,
                base_revision=base,
                moved_by=begun - base,
                target=Target(revision=self.order.revision, time=self.order.point_in_time),
                then=self._finish,
            )
        last_ms = self.times.get(replayed.revision) if replayed.revisions else None
        answer = Replayed(
            revision=replayed.revision,
            time=None if last_ms is None else datetime.fromtimestamp(last_ms / 1000, UTC),
            revisions=replayed.revisions,
            changes=replayed.changes,
            keys=self.keys,
        )
        return Reached(answer, self.compacted)

    async def _bodies(self, base: int, moved_by: int) -> AsyncGenerator[Body]:
        """When one is asked for, the one before it has been replayed to its end."""
        done, since, last = 0, 0, base
        progress = log_progress("replayed")
        async with aclosing(read_held(self.volume.changes, self.held)) as bodies:
            async for body, size in bodies:
                if since >= COMPACT_EVERY_BYTES and last > base:
                    since, self.compacted = 0, last + moved_by
                    await self.client.kv.compact(
                        self.compacted, physical=True, timeout_s=_COMPACT_TIMEOUT_S
                    )
                before = {last: self.times[last]} if last in self.times else {}
                self.times = before | {one.revision: one.received_ms for one in body.revisions}
                yield body
                done, since, last = done + size, since + size, body.last
                progress(done, self.held.size)

    async def _finish(self) -> None:
        every_key = Range(key=ALL_KEYS, range_end=ALL_KEYS, count_only=True)
        self.keys = (await self.client.kv.range(every_key, timeout_s=COUNT_TIMEOUT_S)).count
        if self.compacted:
            await self.client.maintenance.defragment(timeout_s=_DEFRAGMENT_TIMEOUT_S)
