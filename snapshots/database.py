"""The pages of an etcd database, as they pass by once → what state of etcd they hold.

A snapshot is newer than what was asked before it and older than what was asked after it: what it
holds, only the file itself says. The file is a bbolt database: numbered pages, a tree of them for
each bucket. The way down the tree is known when all pages have passed, so of each page the reader
keeps the one thing that the way may need: eight bytes, 2 MiB for each GiB. Pages to which no way
leads (freed ones, parts of values, written while the file was copied) are noted too, and never
asked for.

Sources: `bolt`; etcd `server/storage/schema`, and `restore` of its mvcc store for what the revision
is. Pure.
"""

from __future__ import annotations

import heapq
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from snapshots.bolt import (
    BRANCH,
    BUCKET,
    IS_BRANCH,
    IS_BUCKET,
    IS_LEAF,
    KEY_SIZES,
    LEAF,
    MAX_DEPTH,
    PAGE,
    REVISION,
    children,
    inline,
    main_revision,
    pairs,
    read_metas,
    unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHILD = 1 << 63  # marks what was noted of a branch: the number of its last child
_MAX_BUCKETS_BYTES = 1 << 20
_MAX_BUCKETS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFacts:
    """revision: the newest one in the file; compact_revision: the oldest that can still be read, 0
    before the first compaction. raft_index, raft_term: of the last entry that was applied (0 where
    an etcd before 3.5 wrote the file). storage_version: `3.6.0`, empty before 3.6.
    """

    revision: int
    compact_revision: int
    raft_index: int
    raft_term: int
    storage_version: str


class _Want(NamedTuple):
    """Bytes that had not passed yet when their page was looked at."""

    end: int
    start: int
    page: int
    whole: bool


class _Buckets(NamedTuple):
    """What a leaf of the outermost bucket says of two buckets in it; None where it doesn't."""

    key: bytes | None
    meta: bytes | None


class DatabaseReader:
    """Feed it the database from its first byte to its last, without the trailer; then `facts`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._base = 0  # the buffer's place in the file
        self._page_size = 0
        self._outermost = 0  # the page where the way down begins
        self._children: tuple[int, ...] = ()
        self._notes = array("Q")  # by page: see _CHILD; the last revision of a leaf; 0: neither
        self._buckets: dict[int, _Buckets] = {}
        self._wants: list[_Want] = []

    def feed(self, data: bytes) -> None:
        """Any amount, in order; a megabyte at a time is fast. Raises DatabaseUnreadableError."""
        self._buffer += data
        if not self._page_size and not self._read_metas():
            return
        end = self._base + len(self._buffer)
        while self._wants and self._wants[0].end <= end:
            self._take(heapq.heappop(self._wants))
        size = self._page_size
        page = len(self._notes)
        while (page + 1) * size <= end:
            self._notes.append(0)
            self._look(page, page * size - self._base)
            page += 1
        keep = min([page * size, *(want.start for want in self._wants)])
        del self._buffer[: keep - self._base]
        self._base = keep

    def facts(self) -> DatabaseFacts:
        """Raises DatabaseUnreadableError where the pages make no database of etcd."""
        if not self._page_size:
            raise unreadable("it is shorter than its first two pages")
        pages = self._children or (self._outermost,)
        found = [self._buckets[page] for page in pages if page in self._buckets]
        key = next((one.key for one in found if one.key is not None), None)
        meta = next((one.meta for one in found if one.meta is not None), None)
        if key is None or meta is None:
            raise unreadable("it lacks the buckets that a database of etcd has")
        return facts_of(self._last_revision(key), dict(inline(meta)))

    def _read_metas(self) -> bool:
        metas = read_metas(self._buffer)
        if metas is not None:
            self._page_size, self._outermost = metas
        return metas is not None

    def _look(self, page: int, at: int) -> None:
        """Notes what the way down may need of this page. Anything may be in it."""
        number, flags, count, overflow = PAGE.unpack_from(self._buffer, at)
        last = at + PAGE.size + LEAF.size * (count - 1)
        if number != page or not count or last + LEAF.size > at + self._page_size:
            return
        size = self._page_size * (overflow + 1)
        if flags == IS_BRANCH:
            self._notes[page] = _CHILD | (BRANCH.unpack_from(self._buffer, last)[2] & ~_CHILD)
            if page == self._outermost:
                self._want(page, at, size, whole=True)
        elif flags == IS_LEAF:
            kind, position, key_size, _ = LEAF.unpack_from(self._buffer, last)
            if kind & IS_BUCKET and size <= _MAX_BUCKETS_BYTES:
                self._want(page, at, size, whole=True)
            elif key_size in KEY_SIZES and position < size:
                self._want(page, last + position, REVISION.size, whole=False)

    def _want(self, page: int, at: int, length: int, *, whole: bool) -> None:
        start = self._base + at
        want = _Want(start + length, start, page, whole)
        if at + length <= len(self._buffer):
            self._take(want)
        else:
            heapq.heappush(self._wants, want)

    def _take(self, want: _Want) -> None:
        data = bytes(self._buffer[want.start - self._base : want.end - self._base])
        if not want.whole:
            self._notes[want.page] = main_revision(data) & ~_CHILD
        elif data[8] == IS_BRANCH:
            self._children = children(data)
        elif len(self._buckets) < _MAX_BUCKETS:
            self._buckets[want.page] = _buckets(data)
        else:
            raise unreadable("too many of its pages look like the outermost bucket")

    def _last_revision(self, bucket: bytes) -> int:
        """The revision at the end of a bucket whose keys are revisions; 0 for an empty one."""
        page = BUCKET.unpack_from(bucket)[0]
        if not page:
            keys = [key for key, _ in inline(bucket)]
            return main_revision(keys[-1]) if keys else 0
        note = 0
        for _ in range(MAX_DEPTH):
            note = self._notes[page] if page < len(self._notes) else 0
            if not note & _CHILD:
                break
            page = note ^ _CHILD
        if not note or note & _CHILD:
            raise unreadable("the way to its last revision is broken")
        return note


def facts_of(last_revision: int, meta: Mapping[bytes, bytes]) -> DatabaseFacts:
    """From the end of the bucket `key`, and the pairs of the bucket `meta`."""
    scheduled = main_revision(meta.get(b"scheduledCompactRev", b""))
    finished = main_revision(meta.get(b"finishedCompactRev", b""))
    return DatabaseFacts(
        # Where compaction took the newest revisions, which were deletions, it tells them.
        revision=max(1, last_revision, scheduled),
        compact_revision=max(scheduled, finished),
        raft_index=int.from_bytes(meta.get(b"consistent_index", b"")),
        raft_term=int.from_bytes(meta.get(b"term", b"")),
        storage_version=meta.get(b"storageVersion", b"").decode(errors="replace"),
    )


def _buckets(page: bytes) -> _Buckets:
    values = dict(pairs(page))
    found = (values.get(name, b"") for name in (b"key", b"meta"))
    return _Buckets(*(value if len(value) >= BUCKET.size else None for value in found))
