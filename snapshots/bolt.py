"""How a bbolt database is laid out: pages, the pairs in them, and what etcd writes as keys.

Shared by the reader of a stream (`database`) and the one of a file (`database_file`). What is read
may be anything: nothing here asks for more than the bytes it was given. Source: bbolt
`internal/common/{meta,page,inode}.go`. Pure.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from snapshots.errors import DatabaseUnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

    Buffer: TypeAlias = bytes | bytearray | mmap

PAGE = struct.Struct("<QHHI")  # id, flags, count, overflow
LEAF = struct.Struct("<IIII")  # flags, position from here, sizes of key and value
BRANCH = struct.Struct("<IIQ")  # position from here, size of key, page
META = struct.Struct("<IIIIQQQQQQ")  # ..., root, sequence, freelist, pages, transaction, checksum
BUCKET = struct.Struct("<QQ")  # root page (0: the bucket lies right behind), sequence
REVISION = struct.Struct(">QcQ")
KEY_SIZES = (17, 18)  # a revision; one that deleted has a letter more

IS_BRANCH, IS_LEAF = 0x01, 0x02
IS_BUCKET = 0x01
MAX_DEPTH = 64

_META_CHECKED = 56  # bytes under the checksum
_MAGIC, _VERSION = 0xED0CDAED, 2
_PAGE_SIZES = range(512, 65536 + 1)


class Metas(NamedTuple):
    """What the first two pages say: how long pages are, and where the way down begins."""

    page_size: int
    outermost: int


def read_metas(data: Buffer) -> Metas | None:
    """None where there is not enough of it yet. Raises DatabaseUnreadableError."""
    if len(data) < PAGE.size + META.size:
        return None
    size = META.unpack_from(data, PAGE.size)[2]
    if size not in _PAGE_SIZES or size & (size - 1):
        raise unreadable("it does not begin as one")
    if len(data) < 2 * size:
        return None
    valid = [found for at in (0, size) if (found := _meta(data, at))]
    if not valid:
        raise unreadable("neither of its first two pages is valid")
    return Metas(size, max(valid)[1])


def pairs(page: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a leaf; of one that isn't, nonsense, but never more than is in it."""
    count = PAGE.unpack_from(page)[2] if len(page) >= PAGE.size else 0
    for number in range(count):
        at = PAGE.size + LEAF.size * number
        if at + LEAF.size > len(page):
            return
        _, position, key_size, value_size = LEAF.unpack_from(page, at)
        key = at + position
        yield page[key : key + key_size], page[key + key_size : key + key_size + value_size]


def inline(bucket: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of a bucket that is small enough to lie in the outermost one itself."""
    return pairs(bucket[BUCKET.size :])


def children(page: bytes) -> tuple[int, ...]:
    """The pages below a branch, in the order of their keys."""
    count = PAGE.unpack_from(page)[2]
    starts = range(PAGE.size, min(len(page), PAGE.size * (count + 1)), BRANCH.size)
    return tuple(BRANCH.unpack_from(page, at)[2] for at in starts if at + BRANCH.size <= len(page))


def main_revision(key: bytes) -> int:
    """Of the 17 bytes that etcd writes a revision with; 0 where they are something else."""
    if len(key) not in KEY_SIZES:
        return 0
    main, mark, _ = REVISION.unpack_from(key)
    return main if mark == b"_" else 0


def unreadable(what: str) -> DatabaseUnreadableError:
    """The failure that readers raise."""
    return DatabaseUnreadableError(f"this is no database of etcd: {what}")


def _meta(data: Buffer, at: int) -> tuple[int, int] | None:
    """The transaction and the page where the way begins, or None where the page is not valid."""
    content = data[at + PAGE.size : at + PAGE.size + META.size]
    magic, version, _, _, outermost, _, _, _, transaction, checksum = META.unpack(content)
    if (magic, version) != (_MAGIC, _VERSION) or checksum != _fnv1a(content[:_META_CHECKED]):
        return None
    return transaction, outermost


def _fnv1a(data: bytes | bytearray) -> int:
    result = 0xCBF29CE484222325
    for byte in data:
        result = ((result ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return result
