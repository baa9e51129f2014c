"""Segments → an etcd that nobody else uses: every revision as one transaction of its own.

A revision of etcd is one transaction, or the end of one lease; writing its changes in one
transaction again gives them the same revision, creation and version (server/storage/mvcc). What
that rests on is checked after each one: etcd's answer must be the recorded revision, plus by how
much the base was moved ahead.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from etcd.errors import EtcdError, LeaseExistsError
from etcd.ids import LeaseID
from etcd.kv_types import ALL_KEYS, DeleteRange, Put, Range, Txn
from snapshots.errors import ReplayError
from snapshots.failures import first_failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from datetime import datetime

    from etcd.client import EtcdClient
    from snapshots.changes.segment import Body, Change, Revised

log = structlog.get_logger(__name__)

# Ends of leases and deletions of ranges have as many changes as there were keys.
MOST_OPERATIONS: Final = 1_000_000
MOST_REQUEST_BYTES: Final = 512 << 20
_TIMEOUT_S: Final = 120.0
# For a lease that was gone before anybody could ask for how long it had been granted.
_UNKNOWN_TTL_S: Final = 3600
# etcd grants no lease for less than one and a half elections (server/lease/lessor.go, minLeaseTTL).
_KEPT_ALIVE_EVERY_S: Final = 0.5


def flags_for_replay() -> dict[str, int]:
    """What the etcd that is replayed into must allow, as keys of its configuration file."""
    return {"max-txn-ops": MOST_OPERATIONS, "max-request-bytes": MOST_REQUEST_BYTES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to stop: at a revision, or before the first one that came later than `time`."""

    revision: int | None = None
    time: datetime | None = None

    def is_beyond(self, revised: Revised) -> bool:
        if self.revision is not None and revised.revision > self.revision:
            return True
        return self.time is not None and revised.received_ms > self.time.timestamp() * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """revision: the last one that was replayed, as it was recorded; the base's where none was."""

    revision: int
    revisions: int
    changes: int


async def replay(
    client: EtcdClient,
    bodies: AsyncIterator[Body],
    *,
    base_revision: int,
    moved_by: int,
    target: Target,
    then: Callable[[], Awaitable[None]] | None = None,
) -> Replayed:
    """Replays what comes after the base, in order, and stops exactly at the target.

    moved_by: etcd's revision of the base minus the recorded one. then: what is done at the end,
    while leases are still kept alive. Raises ReplayError where etcd doesn't come to the revision
    that it should, EtcdError. Not to be repeated on the same data.
    """
    leases = _Leases(client)
    await leases.read()
    try:
        async with asyncio.TaskGroup() as tasks:
            keeper = tasks.create_task(leases.keep())
            try:
                replayed = await _replay(leases, bodies, base_revision, moved_by, target)
                if then is not None:
                    await then()
            finally:
                keeper.cancel()
    except BaseExceptionGroup as group:
        raise first_failure(group) from None
    return replayed


async def _replay(
    leases: _Leases, bodies: AsyncIterator[Body], base_revision: int, moved_by: int, target: Target
) -> Replayed:
    now, changes = base_revision, 0
    async for revised, ttls in _in_order(bodies):
        if revised.revision <= base_revision:
            continue
        if target.is_beyond(revised):
            break
        if revised.revision != now + 1:
            message = f"after revision {now} comes {revised.revision}: changes are missing"
            raise ReplayError(message)
        for lease_id in {change.lease for change in revised.changes if change.lease}:
            await leases.grant(lease_id, ttls.get(lease_id, 0))
        await _write(leases.client, revised, revised.revision + moved_by)
        now, changes = revised.revision, changes + len(revised.changes)
    # The end of a lease after the last transaction shows in none.
    _compare(now, await _revision(leases.client), now + moved_by)
    if target.revision is not None and now != target.revision:
        message = f"the changes end at revision {now}, before {target.revision}"
        raise ReplayError(message)
    return Replayed(revision=now, revisions=now - base_revision, changes=changes)


async def _in_order(bodies: AsyncIterator[Body]) -> AsyncIterator[tuple[Revised, dict[int, int]]]:
    async for body in bodies:
        for revised in body.revisions:
            yield revised, body.leases


async def _write(client: EtcdClient, revised: Revised, expected: int) -> None:
    operations = tuple(_operations(revised.changes))
    answer = await client.kv.txn(Txn(compare=(), success=operations), timeout_s=_TIMEOUT_S)
    _compare(revised.revision, answer.header.revision, expected)


async def _revision(client: EtcdClient) -> int:
    one = Range(key=ALL_KEYS, limit=1, keys_only=True)
    return (await client.kv.range(one, timeout_s=_TIMEOUT_S)).header.revision


def _compare(recorded: int, found: int, expected: int) -> None:
    if found != expected:
        message = (
            f"revision {recorded} became {found} instead of {expected}:"
            " somebody else wrote, or a lease of the backup ended meanwhile"
        )
        raise ReplayError(message)


def _operations(changes: tuple[Change, ...]) -> Iterator[Put | DeleteRange]:
    for change in changes:
        if change.deleted:
            yield DeleteRange(key=change.key)
        else:
            yield Put(key=change.key, value=change.value, lease=LeaseID(change.lease))


class _Leases:
    """The leases of the base, and those that changes bring, kept alive.

    One that ended would delete its keys, in a revision that nobody recorded.
    """

    def __init__(self, client: EtcdClient) -> None:
        self.client = client
        self._alive: set[int] = set()

    async def read(self) -> None:
        self._alive = set(await self.client.lease.leases())

    async def grant(self, lease_id: int, ttl_s: int) -> None:
        """One that is there already stays as it is. Grants make no revision."""
        if lease_id in self._alive:
            return
        with contextlib.suppress(LeaseExistsError):
            await self.client.lease.grant(ttl_s or _UNKNOWN_TTL_S, lease_id=LeaseID(lease_id))
        self._alive.add(lease_id)

    async def keep(self) -> None:
        """Until it is cancelled. An etcd that is busy applying may not answer in time."""
        while True:
            try:
                gone = await self.client.lease.keep_all_alive([*map(LeaseID, self._alive)])
                self._alive -= gone  # their keys' end shows in the next revision
            except EtcdError as failure:
                # If any ends for it, that shows as well.
                log.warning("leases were not kept alive", error=str(failure))
            await asyncio.sleep(_KEPT_ALIVE_EVERY_S)
