"""What of a line's changes leads nowhere any more → deleted.

A change is of use as long as there is a backup before it that its chain goes on from. Once that is
deleted, so are the changes up to the next one. Always kept is what is younger than `SETTLED`, as a
backup that was begun before may still be completed; and the end of each log, which its archiver
goes on from. What is deleted is the beginning of a chain, so that nothing is missing within.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from snapshots.catalog import find_manifest, list_backups
from snapshots.changes.layout import parse_segment_path
from snapshots.changes.segment import MAX_SEGMENT_BYTES, read_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from snapshots.changes.layout import ChainFolder
    from snapshots.changes.segment import Header
    from snapshots.stores import Store

# A backup takes six hours at the longest; the rest is for clocks that differ.
SETTLED: Final = timedelta(days=1)


def oldest_base(chain: ChainFolder, last: Header, bases: Iterable[int]) -> int | None:
    """The revision of the oldest backup that the chain goes on from; None where there is none.

    last: of its last segment. bases: the revisions of all backups of the line. Pure.
    """
    reached = range(chain.first_revision - 1, last.last_revision + 1)
    return min((revision for revision in bases if revision in reached), default=None)


def is_of_use(header: Header, base: int | None, *, settled: datetime) -> bool:
    """Whether a segment has to stay. base: as `oldest_base`. Of use are all that come after. Pure.

    settled: no backup that is not there yet holds a state from before.
    """
    leads_somewhere = base is not None and header.last_revision > base
    return leads_somewhere or header.complete_until > settled


async def prune(store: Store, line: str, *, now: datetime) -> int:
    """Deletes what leads nowhere, in all logs of a line of history; returns how many segments.

    May be ended anywhere, and repeated. Raises StoreError; ManifestInvalidError, as a backup that
    can't be read may be the one that is gone on from; SegmentInvalidError.
    """
    chains = await _segments(store, line)
    bases = await _revisions(store, line) if chains else ()
    lasts = {chain: await _header(store, chain, numbers[-1]) for chain, numbers in chains.items()}
    ends = {_end(lasts, log) for log in {chain.log for chain in chains}}
    going: list[str] = []
    for chain, numbers in chains.items():
        base = oldest_base(chain, lasts[chain], bases)
        count = await _of_no_use(store, chain, numbers, base, settled=now - SETTLED)
        if chain in ends or base is not None:  # the last one tells up to which time all is known
            count = min(count, len(numbers) - 1)
        going += [chain.segment(number) for number in numbers[:count]]
    await store.delete(going)
    return len(going)


async def _segments(store: Store, line: str) -> dict[ChainFolder, list[int]]:
    """The numbers of the segments of each chain, ascending."""
    found: dict[ChainFolder, list[int]] = defaultdict(list)
    async with aclosing(store.list(line)) as objects:
        async for one in objects:
            place = parse_segment_path(one.path)
            if place is not None:
                chain, number = place
                found[chain].append(number)
    return {chain: sorted(numbers) for chain, numbers in sorted(found.items())}


async def _revisions(store: Store, line: str) -> tuple[int, ...]:
    manifests = [await find_manifest(store, folder) for folder in await list_backups(store, line)]
    return tuple(one.content.revision for one in manifests if one is not None)


def _end(lasts: Mapping[ChainFolder, Header], log: str) -> ChainFolder:
    """The chain that the archiver of a log goes on from."""
    chains = [chain for chain in lasts if chain.log == log]
    return max(chains, key=lambda chain: (lasts[chain].last_revision, chain))


async def _of_no_use(
    store: Store,
    chain: ChainFolder,
    numbers: Sequence[int],
    base: int | None,
    *,
    settled: datetime,
) -> int:
    """How many segments at the beginning of a chain are of no use: by bisection."""
    low, high = 0, len(numbers)
    while low < high:
        middle = (low + high) // 2
        header = await _header(store, chain, numbers[middle])
        if is_of_use(header, base, settled=settled):
            high = middle
        else:
            low = middle + 1
    return low


async def _header(store: Store, chain: ChainFolder, number: int) -> Header:
    return read_header(await store.get(chain.segment(number), max_bytes=MAX_SEGMENT_BYTES))[0]
