"""Keeps the changes of a cluster as they come, as an order says: what runs in an archiver's pod.

It never gives up: what can't be done now is told on its page and tried again, with another member,
after a pause that grows up to half a minute. Told to stop, it stores what it has in its hands.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web

from api.v1alpha1.backup import Window
from cli.agent.backup import keys_of
from cli.agent.failures import OF_CHANGES, answer_of
from cli.agent.snapshot import NoMemberError, endpoint_of, read_tls
from cli.agent.store import open_ordered_store
from controllers.backup.archive.order import (
    HEALTH_PAGE,
    MOST_WINDOWS,
    STATUS_PAGE,
    ArchiveOrder,
    ArchiverReport,
)
from etcd.dialer import DirectDialer
from etcd.errors import EtcdError
from etcd.ids import parse_cluster_id
from etcd.pool import ChannelPool
from etcd.retry import RetryPolicy
from snapshots.catalog import find_manifest, list_backups
from snapshots.changes.archiver import ArchiveRequest, Progress, archive
from snapshots.changes.history import Base, windows_of
from snapshots.changes.layout import LogFolder
from snapshots.errors import (
    BaseNeededError,
    FencedError,
    ManifestInvalidError,
    SnapshotsError,
    WrongSourceError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from etcd.client import EtcdClient
    from snapshots.layout import BackupFolder
    from snapshots.stores import Store

# How often the store is looked through for backups: as long as one is needed, and else.
_BASE_NEEDED_S: Final = 5.0
_BASES_S: Final = 300.0
# The other archiver goes on meanwhile: in most cases it is one that is about to end.
_FENCED_S: Final = 30.0
# Less than the pod's grace, for what is in its hands to get into the store.
_LAST_STORE_S: Final = 25.0
_PAUSES: Final = RetryPolicy(base_s=0.5, cap_s=30.0)
_LONGEST_TEXT: Final = 1000

log = structlog.get_logger()


@dataclass(slots=True)
class State:
    """What the page tells; changed while it goes on.

    trouble: what work ended with the last time; it counts as long as progress.safe is what it was
    then.
    """

    progress: Progress = field(default_factory=Progress)
    bases: dict[BackupFolder, Base] = field(default_factory=dict)
    trouble: Exception | None = None
    safe_then: datetime | None = None

    def note(self, trouble: Exception) -> None:
        """Work ended with it."""
        self.trouble, self.safe_then = trouble, self.progress.safe


def report_of(state: State, now: datetime) -> ArchiverReport:
    """The page /status. Pure."""
    progress = state.progress
    trouble = state.trouble if progress.safe == state.safe_then else None
    needed = str(trouble) if isinstance(trouble, BaseNeededError) else ""
    failure = progress.trouble if needed or trouble is None else trouble
    windows = windows_of(state.bases.values(), progress.chains.values())[-MOST_WINDOWS:]
    safe = progress.safe
    return ArchiverReport(
        windows=tuple(
            Window(
                start_time=_next_second(one.start_time),
                end_time=max(_second(one.end_time), _next_second(one.start_time)),
                start_revision=one.start_revision,
                end_revision=one.end_revision,
                base=one.base,
            )
            for one in windows
        ),
        revision=progress.revision,
        time=None if safe is None else _second(safe),
        cluster_revision=progress.seen,
        unarchived_seconds=0.0 if safe is None else max(0.0, (now - safe).total_seconds()),
        base_needed=needed[:_LONGEST_TEXT],
        failing=None if failure is None else answer_of(failure, OF_CHANGES)[0],
    )


async def keep_changes(
    order: ArchiveOrder,
    environ: Mapping[str, str],
    *,
    port: int,
    volume: Path,
    stop: asyncio.Event,
    now: Callable[[], datetime],
) -> None:
    """Until told to stop. Raises KeyMissingError, KeyInvalidError, StoreConfigError, OSError."""
    state = State()
    pool = ChannelPool(DirectDialer())
    archiver = _Archiver(
        order=order,
        store=open_ordered_store(order, environ, volume),
        request=_request(order, environ),
        pool=pool,
        state=state,
        stop=stop,
        now=now,
    )
    page = await _serve(state, port, now)
    try:
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(archiver.run())
            bases = tasks.create_task(archiver.look_for_bases())
            await stop.wait()
            bases.cancel()
            await asyncio.wait({work}, timeout=_LAST_STORE_S)
            work.cancel()
    finally:
        await page.cleanup()
        await pool.close()


def _request(order: ArchiveOrder, environ: Mapping[str, str]) -> ArchiveRequest:
    cluster_id = parse_cluster_id(order.cluster_id)
    return ArchiveRequest(
        log=LogFolder(cluster_id=cluster_id, epoch=order.epoch, name=order.name),
        cluster=order.cluster_id,
        flush_interval=timedelta(milliseconds=order.flush_interval_ms),
        max_bytes=order.max_bytes,
        compress=order.compression,
        key=keys_of(environ)[0] if order.encrypted else None,
    )


@dataclass(slots=True, kw_only=True)
class _Archiver:
    """tried: how many members failed one after the other."""

    order: ArchiveOrder
    store: Store
    request: ArchiveRequest
    pool: ChannelPool
    state: State
    stop: asyncio.Event
    now: Callable[[], datetime]
    tried: int = 0

    async def run(self) -> None:
        """Follows one member after the other, until told to stop."""
        while not self.stop.is_set():
            begun = self.state.progress.safe
            try:
                await self._find_bases()
                await self._follow()
            except BaseNeededError as needed:
                self.state.note(needed)
                log.warning("a backup is needed", why=str(needed))
                await self._pause(_BASE_NEEDED_S)
            except FencedError as failure:
                self._failed(failure)
                await self._pause(_FENCED_S)
            except (EtcdError, NoMemberError, WrongSourceError) as failure:
                if self.state.progress.safe != begun:
                    self.tried = 0  # it had been at work
                self.tried += 1
                # One member that fails is nothing to be told, as long as another one is there.
                self._failed(failure, told=self.tried >= len(self.order.members))
                await self._pause(_PAUSES.pause_s(self.tried, random.random()))  # noqa: S311 - jitter
            except (SnapshotsError, OSError, ValueError) as failure:
                self.tried += 1
                self._failed(failure)
                await self._pause(_PAUSES.pause_s(self.tried, random.random()))  # noqa: S311 - jitter

    async def look_for_bases(self) -> None:
        """Those that come, and those that go, while the changes are kept. Until it is cancelled."""
        while True:
            await asyncio.sleep(_BASES_S)
            with contextlib.suppress(SnapshotsError):
                await self._find_bases()

    async def _follow(self) -> None:
        await archive(
            await self._client(),
            self.store,
            self.request,
            bases=tuple(self.state.bases.values()),
            stop=self.stop,
            progress=self.state.progress,
            now=self.now,
        )

    async def _client(self) -> EtcdClient:
        order, cluster = self.order, f"{self.order.namespace}/{self.order.cluster}"
        if not order.members:
            raise NoMemberError("the order names no member")
        # Read anew: certificates are renewed during a pod's life.
        self.pool.trust(cluster, read_tls() if order.tls else None)
        member = order.members[self.tried % len(order.members)]
        endpoint = await endpoint_of(order, member)
        client = self.pool.client(endpoint)
        await self.pool.retain(cluster, (endpoint,))
        log.info("follows a member", member=member.name)
        return client

    async def _find_bases(self) -> None:
        """A manifest is read once: it never changes."""
        known, found = self.state.bases, {}
        for folder in await list_backups(self.store, self.request.log.line):
            base = known.get(folder) or await self._base(folder)
            if base is not None:
                found[folder] = base
        self.state.bases = found

    async def _base(self, folder: BackupFolder) -> Base | None:
        try:
            manifest = await find_manifest(self.store, folder)
        except ManifestInvalidError as failure:
            log.warning("a backup is not gone on from", backup=folder.path, error=str(failure))
            return None
        if manifest is None:
            return None
        revision, completed = manifest.content.revision, manifest.completed_at
        return Base(path=folder.path, revision=revision, completed=completed)

    def _failed(self, failure: Exception, *, told: bool = True) -> None:
        log.warning("changes are not kept", error=str(failure), kind=type(failure).__name__)
        if told:
            self.state.note(failure)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)


async def _serve(state: State, port: int, now: Callable[[], datetime]) -> web.AppRunner:
    async def status(_request: web.Request) -> web.Response:
        text = report_of(state, now()).model_dump_json(by_alias=True)
        return web.Response(text=text, content_type="application/json")

    async def health(_request: web.Request) -> web.Response:
        return web.Response(text="ok")  # that it answers is all there is to know

    pages = web.Application()
    pages.add_routes([web.get(STATUS_PAGE, status), web.get(HEALTH_PAGE, health)])
    runner = web.AppRunner(pages, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, None, port).start()
    return runner


def _next_second(moment: datetime) -> datetime:
    """Up to whole seconds: the time before the first state can't be restored."""
    return _second(moment + timedelta(microseconds=999_999))


def _second(moment: datetime) -> datetime:
    """Down to whole seconds, as Kubernetes writes times."""
    return moment.astimezone(UTC).replace(microsecond=0)
