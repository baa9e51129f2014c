"""The pages of an etcd database, as they pass by once → what state of etcd they hold.

A snapshot is newer than what was asked before it and older than what was asked after it: what it
holds, only the file itself says. The file is a bbolt database: numbered pages, a tree of them for
each bucket. The way down the tree is known when all pages have passed, so of each page the reader
keeps the one thing that the way may need: eight bytes, 2 MiB for each GiB. Pages to which no way
leads (freed ones, parts of values, written while the file was copied) are noted too, and never
asked for.

Sources: bbolt `internal/common/{meta,page,inode}.go`; etcd `server/storage/schema`, and `restore`
of its mvcc store for what the revision is. Pure.
"""

from __future__ import annotations

import heapq
import struct
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from snapshots.errors import DatabaseUnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE = struct.Struct("<QHHI")  # id, flags, count, overflow
_LEAF = struct.Struct("<IIII")  # flags, position from here, sizes of key and value
_BRANCH = struct.Struct("<IIQ")  # position from here, size of key, page
_META = struct.Struct("<IIIIQQQQQQ")  # ..., root, sequence, freelist, pages, transaction, checksum
_META_CHECKED = 56  # bytes under the checksum
_BUCKET = struct.Struct("<QQ")  # root page (0: the bucket lies right behind), sequence
_REVISION = struct.Struct(">QcQ")
_KEY_SIZES = (17, 18)  # a revision; one that deleted has a letter more

_IS_BRANCH, _IS_LEAF = 0x01, 0x02
_IS_BUCKET = 0x01
_MAGIC, _VERSION = 0xED0CDAED, 2
_PAGE_SIZES = range(512, 65536 + 1)

_CHILD = 1 << 63  # marks what was noted of a branch: the number of its last child
_MAX_BUCKETS_BYTES = 1 << 20
_MAX_BUCKETS = 100_000
_MAX_DEPTH = 64


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
            raise _unreadable("it is shorter than its first two pages")
        pages = self._children or (self._outermost,)
        found = [self._buckets[page] for page in pages if page in self._buckets]
        key = next((one.key for one in found if one.key is not None), None)
        meta = next((one.meta for one in found if one.meta is not None), None)
        if key is None or meta is None:
            raise _unreadable("it lacks the buckets that a database of etcd has")
        values = dict(_inline(meta))
        scheduled = _main_revision(values.get(b"scheduledCompactRev", b""))
        finished = _main_revision(values.get(b"finishedCompactRev", b""))
        return DatabaseFacts(
            # Where compaction took the newest revisions, which were deletions, it tells them.
            revision=max(1, self._last_revision(key), scheduled),
            compact_revision=max(scheduled, finished),
            raft_index=int.from_bytes(values.get(b"consistent_index", b"")),
            raft_term=int.from_bytes(values.get(b"term", b"")),
            storage_version=values.get(b"storageVersion", b"").decode(errors="replace"),
        )

    def _read_metas(self) -> bool:
        """Reads the two meta pages, of which the newer valid one tells where the way begins."""
        if len(self._buffer) < _PAGE.size + _META.size:
            return False
        size = _META.unpack_from(self._buffer, _PAGE.size)[2]
        if size not in _PAGE_SIZES or size & (size - 1):
            raise _unreadable("it does not begin as one")
        if len(self._buffer) < 2 * size:
            return False
        valid = [found for at in (0, size) if (found := _meta(self._buffer, at))]
        if not valid:
            raise _unreadable("neither of its first two pages is valid")
        self._page_size = size
        _, self._outermost = max(valid)
        return True

    def _look(self, page: int, at: int) -> None:
        """Notes what the way down may need of this page. Anything may be in it."""
        number, flags, count, overflow = _PAGE.unpack_from(self._buffer, at)
        last = at + _PAGE.size + _LEAF.size * (count - 1)
        if number != page or not count or last + _LEAF.size > at + self._page_size:
            return
        size = self._page_size * (overflow + 1)
        if flags == _IS_BRANCH:
            self._notes[page] = _CHILD | (_BRANCH.unpack_from(self._buffer, last)[2] & ~_CHILD)
            if page == self._outermost:
                self._want(page, at, size, whole=True)
        elif flags == _IS_LEAF:
            kind, position, key_size, _ = _LEAF.unpack_from(self._buffer, last)
            if kind & _IS_BUCKET and size <= _MAX_BUCKETS_BYTES:
                self._want(page, at, size, whole=True)
            elif key_size in _KEY_SIZES and position < size:
                self._want(page, last + position, _REVISION.size, whole=False)

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
            self._notes[want.page] = _main_revision(data) & ~_CHILD
        elif data[8] == _IS_BRANCH:
            self._children = _children(data)
        elif len(self._buckets) < _MAX_BUCKETS:
            self._buckets[want.page] = _buckets(data)
        else:
            raise _unreadable("too many of its pages look like the outermost bucket")

    def _last_revision(self, bucket: bytes) -> int:
        """The revision at the end of a bucket whose keys are revisions; 0 for an empty one."""
        page = _BUCKET.unpack_from(bucket)[0]
        if not page:
            keys = [key for key, _ in _inline(bucket)]
            return _main_revision(keys[-1]) if keys else 0
        note = 0
        for _ in range(_MAX_DEPTH):
            note = self._notes[page] if page < len(self._notes) else 0
            if not note & _CHILD:
                break
            page = note ^ _CHILD
        if not note or note & _CHILD:
            raise _unreadable("the way to its last revision is broken")
        return note


def _meta(data: bytearray, at: int) -> tuple[int, int] | None:
    """The transaction and the page where the way begins, or None where the page is not valid."""
    content = data[at + _PAGE.size : at + _PAGE.size + _META.size]
    magic, version, _, _, outermost, _, _, _, transaction, checksum = _META.unpack(content)
    if (magic, version) != (_MAGIC, _VERSION) or checksum != _fnv1a(content[:_META_CHECKED]):
        return None
    return transaction, outermost


def _fnv1a(data: bytearray) -> int:
    result = 0xCBF29CE484222325
    for byte in data:
        result = ((result ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return result


def _children(page: bytes) -> tuple[int, ...]:
    count = _PAGE.unpack_from(page)[2]
    starts = range(_PAGE.size, min(len(page), _PAGE.size * (count + 1)), _BRANCH.size)
    return tuple(_BRANCH.unpack_from(page, at)[2] for at in starts)


def _buckets(page: bytes) -> _Buckets:
    values = dict(_pairs(page))
    found = (values.get(name, b"") for name in (b"key", b"meta"))
    return _Buckets(*(value if len(value) >= _BUCKET.size else None for value in found))


def _inline(bucket: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of a bucket that is small enough to lie in the outermost one itself."""
    return _pairs(bucket[_BUCKET.size :])


def _pairs(page: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a leaf; of one that isn't, nonsense, but never more than is in it."""
    count = _PAGE.unpack_from(page)[2] if len(page) >= _PAGE.size else 0
    for number in range(count):
        at = _PAGE.size + _LEAF.size * number
        if at + _LEAF.size > len(page):
            return
        _, position, key_size, value_size = _LEAF.unpack_from(page, at)
        key = at + position
        yield page[key : key + key_size], page[key + key_size : key + key_size + value_size]


def _main_revision(key: bytes) -> int:
    """Of the 17 bytes that etcd writes a revision with; 0 where they are something else."""
    if len(key) not in _KEY_SIZES:
        return 0
    main, mark, _ = _REVISION.unpack_from(key)
    return main if mark == b"_" else 0


def _unreadable(what: str) -> DatabaseUnreadableError:
    return DatabaseUnreadableError(f"this is no database of etcd: {what}")
