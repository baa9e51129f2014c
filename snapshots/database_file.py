"""A database of etcd on the disk → what state it holds, by the few pages on the way there.

`database` reads a stream, whole and once; this reads a file, wherever it needs to: of a gigabyte a
few dozen pages. Sources: as there, and etcd `server/storage/schema/{auth,alarm}.go`.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from etcd.ids import MemberID, member_id_hex
from etcd.proto import maintenance_pb2 as pb
from snapshots.bolt import (
    BUCKET,
    IS_BRANCH,
    IS_LEAF,
    MAX_DEPTH,
    PAGE,
    Metas,
    children,
    inline,
    main_revision,
    pairs,
    read_metas,
    unreadable,
)
from snapshots.database import DatabaseFacts, facts_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAX_PAGES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseState:
    """size: bytes of the file. last_revision: of the keys that are in it, 0 for none; see
    `DatabaseFacts.revision`. auth_enabled: etcd asks who is calling. alarms: `NOSPACE <member ID>`,
    for people.
    """

    size: int
    facts: DatabaseFacts
    last_revision: int
    auth_enabled: bool
    alarms: tuple[str, ...]


def read_database(file: Path) -> DatabaseState:
    """Without a trailer, or with one, which is left alone.

    Raises OSError, DatabaseUnreadableError.
    """
    with file.open("rb") as opened:
        if not file.stat().st_size:
            raise unreadable("it is empty")
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _state(_Pages(data))
            except struct.error as failure:
                raise unreadable("a page ends too early") from failure


def _state(pages: _Pages) -> DatabaseState:
    buckets = dict(pages.pairs(pages.outermost))
    if b"key" not in buckets or b"meta" not in buckets:
        raise unreadable("it lacks the buckets that a database of etcd has")
    last = pages.last_key(buckets[b"key"])
    return DatabaseState(
        size=pages.size,
        facts=facts_of(main_revision(last), dict(pages.in_bucket(buckets[b"meta"]))),
        last_revision=main_revision(last),
        auth_enabled=dict(pages.in_bucket(buckets.get(b"auth"))).get(b"authEnabled") == b"\x01",
        alarms=tuple(_alarm(key) for key, _ in pages.in_bucket(buckets.get(b"alarm"))),
    )


def _alarm(key: bytes) -> str:
    try:
        found = pb.AlarmMember.FromString(key)
        kind = pb.AlarmType.Name(found.alarm)
    except (DecodeError, ValueError) as failure:
        raise unreadable("its bucket of alarms has something else") from failure
    return f"{kind} {member_id_hex(MemberID(found.member_id))}"


class _Pages:
    """The pages of a mapped file, as trees."""

    def __init__(self, data: mmap.mmap) -> None:
        metas: Metas | None = read_metas(data)
        if metas is None:
            raise unreadable("it is shorter than its first two pages")
        self._data = data
        self._page_size, self.outermost = metas
        self.size = len(data)

    def in_bucket(self, bucket: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """The pairs of a bucket, given its value in the outermost one; none without one."""
        if bucket is None:
            return iter(())
        root = BUCKET.unpack_from(bucket)[0]
        return self.pairs(root) if root else inline(bucket)

    def last_key(self, bucket: bytes) -> bytes:
        """Of a bucket; empty where it has none."""
        page = BUCKET.unpack_from(bucket)[0]
        if not page:
            return max((key for key, _ in inline(bucket)), default=b"")
        for _ in range(MAX_DEPTH):
            content, flags = self._page(page)
            if flags == IS_LEAF:
                return max((key for key, _ in pairs(content)), default=b"")
            below = children(content)
            if not below:
                break
            page = below[-1]
        raise unreadable("the way to its last revision is broken")

    def pairs(self, root: int) -> Iterator[tuple[bytes, bytes]]:
        """All pairs of the leaves below that page, in order."""
        waiting = [root]
        for _ in range(_MAX_PAGES):
            if not waiting:
                return
            content, flags = self._page(waiting.pop())
            if flags == IS_LEAF:
                yield from pairs(content)
            else:
                waiting += reversed(children(content))
        raise unreadable("one of its trees has no end")

    def _page(self, number: int) -> tuple[bytes, int]:
        """The page with what overflows of it, and its flags."""
        at = number * self._page_size
        if number < 2 or at + self._page_size > self.size:
            raise unreadable("a page is named that it does not have")
        found, flags, _, overflow = PAGE.unpack_from(self._data, at)
        if found != number or flags not in {IS_BRANCH, IS_LEAF}:
            raise unreadable("a page is not what it should be")
        return self._data[at : at + self._page_size * (overflow + 1)], flags
