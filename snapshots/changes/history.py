"""What can be restored of one line of history: bases, chains of changes, and the way to a target.

The questions are pure. The chains of a log are read from the names of its objects and the header of
each chain's last segment; whether a segment in between is whole is seen when it is fetched.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

import structlog

from snapshots.catalog import find_manifest, list_backups
from snapshots.changes.layout import parse_segment_path
from snapshots.changes.segment import MAX_SEGMENT_BYTES, read_header
from snapshots.errors import ManifestInvalidError, NotRestorableError, SegmentInvalidError
from snapshots.failures import first_failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from snapshots.changes.layout import ChainFolder
    from snapshots.changes.segment import Header
    from snapshots.layout import BackupFolder
    from snapshots.stores import Store

_MANIFESTS_AT_ONCE: Final = 8
_MOST_SHOWN: Final = 3
_ALMOST_A_SECOND: Final = timedelta(microseconds=999_999)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A backup that changes can go on from. completed: its state is one of before that."""

    path: str
    revision: int
    completed: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain as far as its last segment, whose header is `last`, with that sha256."""

    folder: ChainFolder
    last: Header
    sha256: str

    @property
    def segments(self) -> int:
        return self.last.number + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Every revision, and every time, of this interval can be restored, both ends included.

    Where nothing is known of the time after the base yet, start_time and end_time are the same, and
    only revisions can be.
    """

    start_revision: int
    end_revision: int
    start_time: datetime
    end_time: datetime
    base: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a target is reached: this base, then this chain from there on; without one the base is
    the target. revision, time: where to stop; at most one of them is there.
    """

    base: Base
    chain: Chain | None
    revision: int | None
    time: datetime | None


async def read_bases(store: Store, line: str) -> tuple[Base, ...]:
    """All backups of a line of history, `<cluster ID>-<epoch>`, whatever they were taken for.

    One whose manifest can't be read is told, and nothing goes on from it. Raises StoreError.
    """
    folders = iter(await list_backups(store, line))
    found: list[Base] = []

    async def read() -> None:
        for folder in folders:
            base = await _base(store, folder)
            found.extend([base] if base is not None else [])

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_MANIFESTS_AT_ONCE):
                tasks.create_task(read())
    except BaseExceptionGroup as group:
        raise first_failure(group) from None
    return tuple(sorted(found, key=lambda base: (base.revision, base.path)))


async def _base(store: Store, folder: BackupFolder) -> Base | None:
    try:
        manifest = await find_manifest(store, folder)
    except ManifestInvalidError as failure:
        log.warning("nothing goes on from this backup", backup=folder.path, error=str(failure))
        return None
    if manifest is None:
        return None
    revision, completed = manifest.content.revision, manifest.completed_at
    return Base(path=folder.path, revision=revision, completed=completed)


async def read_chains(store: Store, below: str) -> tuple[Chain, ...]:
    """All chains below a line of history, or one log of it. Reads one object of each chain.

    Raises StoreError; SegmentInvalidError for a last segment that is none, or another place's.
    """
    newest: dict[ChainFolder, int] = {}
    async with aclosing(store.list(below)) as objects:
        async for found in objects:
            place = parse_segment_path(found.path)
            if place is not None:
                folder, number = place
                newest[folder] = max(number, newest.get(folder, 0))
    chains = []
    for folder, number in sorted(newest.items()):
        path = folder.segment(number)
        data = await store.get(path, max_bytes=MAX_SEGMENT_BYTES)
        with told_of(path):
            header, sha256 = read_header(data)
        check_place(header, folder, number)
        chains.append(Chain(folder=folder, last=header, sha256=sha256))
    return tuple(chains)


@contextmanager
def told_of(path: str) -> Iterator[None]:
    """What is wrong with an object names it."""
    try:
        yield
    except SegmentInvalidError as failure:
        message = f"{path}: {failure}"
        raise type(failure)(message) from failure


def check_place(header: Header, folder: ChainFolder, number: int) -> None:
    """An object is what its name says. Raises SegmentInvalidError: no chain may have a stranger."""
    line = f"{header.cluster}-{header.epoch}"
    if (line, header.chain, header.number) != (folder.line, folder.first_revision, number):
        message = (
            f"{folder.segment(number)} holds segment {header.number} of chain {header.chain}"
            f" of {line}"
        )
        raise SegmentInvalidError(message)


def windows_of(bases: Iterable[Base], chains: Iterable[Chain]) -> tuple[Window, ...]:
    """One for each chain that has a base, in the order of their revisions."""
    bases = sorted(bases, key=lambda base: base.revision)
    found = []
    for chain in chains:
        first = next((base for base in bases if _goes_on(base, chain)), None)
        if first is not None:
            found.append(
                Window(
                    start_revision=first.revision,
                    end_revision=chain.last.last_revision,
                    start_time=first.completed,
                    end_time=max(first.completed, chain.last.complete_until),
                    base=first.path,
                )
            )
    return tuple(sorted(found, key=lambda window: (window.start_revision, window.end_revision)))


def way_to_revision(bases: Iterable[Base], chains: Iterable[Chain], revision: int) -> Way:
    """The shortest way. Raises NotRestorableError, which says what can be restored instead."""
    bases, chains = tuple(bases), tuple(chains)
    for base in sorted(bases, key=lambda base: base.revision, reverse=True):
        if base.revision == revision:
            return Way(base=base, chain=None, revision=revision, time=None)
        if base.revision > revision:
            continue
        for chain in chains:
            if _goes_on(base, chain) and chain.last.last_revision >= revision:
                return Way(base=base, chain=chain, revision=revision, time=None)
    raise _revision_instead(revision, bases, chains)


def way_to_time(bases: Iterable[Base], chains: Iterable[Chain], time: datetime) -> Way:
    """The state of that time, as the archiver's clock told it. Raises NotRestorableError.

    The base was completed before, and etcd was asked for more after it: so nothing of the time up
    to there is missing. When in the chain that is, its revisions' times tell.
    """
    bases, chains = tuple(bases), tuple(chains)
    for base in sorted(bases, key=lambda base: base.revision, reverse=True):
        if base.completed > time:
            continue
        for chain in chains:
            if _goes_on(base, chain) and chain.last.complete_until >= time:
                return Way(base=base, chain=chain, revision=None, time=time)
    raise _time_instead(time, bases, chains)


def _goes_on(base: Base, chain: Chain) -> bool:
    """Whether the chain has all that came after the base, as far as it reaches."""
    return chain.folder.first_revision - 1 <= base.revision <= chain.last.last_revision


def _revision_instead(
    revision: int, bases: tuple[Base, ...], chains: tuple[Chain, ...]
) -> NotRestorableError:
    """With what comes next to it, on both sides."""
    windows = windows_of(bases, chains)
    spans = [*((one.start_revision, one.end_revision) for one in windows)]
    spans += [(base.revision, base.revision) for base in bases]
    before = max((end for _, end in spans if end < revision), default=None)
    after = min((start for start, _ in spans if start > revision), default=None)
    shown = [None if one is None else f"revision {one}" for one in (before, after)]
    return _not_restorable(f"revision {revision}", *shown)


def _time_instead(
    time: datetime, bases: tuple[Base, ...], chains: tuple[Chain, ...]
) -> NotRestorableError:
    # Of a chain that does not reach beyond its base no time is known yet.
    windows = [one for one in windows_of(bases, chains) if one.start_time < one.end_time]
    ends = (one.end_time for one in windows if one.end_time < time)
    starts = (one.start_time for one in windows if one.start_time > time)
    before, after = max(ends, default=None), min(starts, default=None)
    # A time that is shown can be restored: so it is inside of its window.
    start = None if after is None else _shown(after + _ALMOST_A_SECOND)
    end = None if before is None else _shown(before)
    wanted = f"the state at {time.astimezone(UTC).isoformat()}"
    if not windows and bases:
        revisions = ", ".join(str(base.revision) for base in bases[-_MOST_SHOWN:])
        message = f"no changes are kept, only backups, which are at revisions {revisions}"
        return NotRestorableError(f"{wanted} can't be restored: {message}")
    return _not_restorable(wanted, end, start)


def _not_restorable(wanted: str, before: str | None, after: str | None) -> NotRestorableError:
    if before is None and after is None:
        where = "there is no backup to go on from"
    elif before is None:
        where = f"it is before all that can be, which begins with {after}"
    elif after is None:
        where = f"it is after all that can be, which ends with {before}"
    else:
        where = f"it is in a gap, after {before} and before {after}, which both can be"
    return NotRestorableError(f"{wanted} can't be restored: {where}")


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
