"""What can be restored of one line of history: bases, chains of changes, and the way to a target.

The questions are pure. The chains of a log are read from the names of its objects and the header of
each chain's last segment; whether a segment in between is whole is seen when it is fetched.
"""

from __future__ import annotations

from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snapshots.changes.layout import parse_segment_path
from snapshots.changes.segment import MAX_SEGMENT_BYTES, read_header
from snapshots.errors import NotRestorableError, SegmentInvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from snapshots.changes.layout import ChainFolder
    from snapshots.changes.segment import Header
    from snapshots.stores import Store


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
    raise NotRestorableError(_instead(f"revision {revision}", bases, chains))


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
    raise NotRestorableError(_instead(f"the time {time.isoformat()}", bases, chains))


def _goes_on(base: Base, chain: Chain) -> bool:
    """Whether the chain has all that came after the base, as far as it reaches."""
    return chain.folder.first_revision - 1 <= base.revision <= chain.last.last_revision


def _instead(wanted: str, bases: tuple[Base, ...], chains: tuple[Chain, ...]) -> str:
    shown = "; ".join(
        f"revisions {window.start_revision} to {window.end_revision},"
        f" {window.start_time:%Y-%m-%dT%H:%M:%SZ} to {window.end_time:%Y-%m-%dT%H:%M:%SZ}"
        for window in windows_of(bases, chains)[-3:]
    )
    single = ", ".join(str(base.revision) for base in bases[-3:])
    can = shown or f"only the backups themselves can be, at revisions {single or '(none)'}"
    return f"{wanted} can't be restored; what can: {can}"
