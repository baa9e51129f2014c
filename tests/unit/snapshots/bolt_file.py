"""Writes what etcd writes: a bbolt database with the buckets `key` and `meta`, page by page.

Pages lie where the caller wants them, among others that are free; what the reader makes of files of
real etcd is for the integration tests.
"""

from __future__ import annotations

import random
import struct

PAGE = 4096
BRANCH, LEAF, META = 1, 2, 4


def revision_key(main, sub=0, *, deleted=False):
    return struct.pack(">QcQ", main, b"_", sub) + (b"t" if deleted else b"")


def page(number, flags, elements, *, size=PAGE):
    """A leaf of (flags, key, value), or a branch of (key, page); as many pages as it needs."""
    header, body = b"", b""
    at = 16 * len(elements)
    for place, element in enumerate(elements):
        position = at - 16 * place + len(body)
        if flags == LEAF:
            kind, key, value = element
            header += struct.pack("<IIII", kind, position, len(key), len(value))
            body += key + value
        else:
            key, child = element
            header += struct.pack("<IIQ", position, len(key), child)
            body += key
    content = header + body
    pages = max(1, -(-(16 + len(content)) // size))
    start = struct.pack("<QHHI", number, flags, len(elements), pages - 1)
    return (start + content).ljust(pages * size, b"\0")


def inline(elements):
    """A bucket that lies in the outermost one."""
    return bytes(16) + page(0, LEAF, elements, size=1)


def meta_page(number, *, root, transaction, size=PAGE):
    content = struct.pack(
        "<IIIIQQQQQ", 0xED0CDAED, 2, size, 0, root, 0, (1 << 64) - 1, 0, transaction
    )
    checksum = 0xCBF29CE484222325
    for byte in content:
        checksum = (checksum ^ byte) * 0x100000001B3 % (1 << 64)
    start = struct.pack("<QHHI", number, META, 0, 0)
    return (start + content + struct.pack("<Q", checksum)).ljust(size, b"\0")


def meta_bucket(*, index=7, term=2, compacted=0, storage_version=""):
    found = {
        b"confState": b"{}",
        b"consistent_index": index.to_bytes(8),
        b"term": term.to_bytes(8),
    }
    if compacted:
        found[b"scheduledCompactRev"] = found[b"finishedCompactRev"] = revision_key(compacted)
    if storage_version:
        found[b"storageVersion"] = storage_version.encode()
    return inline([(0, key, value) for key, value in sorted(found.items())])


class File:
    """Hands out pages in the given order of places, and writes them all in the end."""

    def __init__(self, *, seed=0, spare=3, junk=b""):
        self._random = random.Random(seed)
        self._spare = spare
        self._junk = junk
        self._made = {}
        self._next = 2

    def add(self, flags, elements):
        """A page in a place of its own, with free ones before it; returns its number."""
        free = self._random.randrange(self._spare + 1)
        self._next += free
        number = self._next
        data = page(number, flags, elements)
        self._made[number] = data
        self._next += len(data) // PAGE
        return number

    def add_all(self, many):
        """Several pages, in any order of places; returns their numbers in the given order."""
        order = list(range(len(many)))
        self._random.shuffle(order)
        numbers = {place: self.add(*many[place]) for place in order}
        return [numbers[place] for place in range(len(many))]

    def data(self, root):
        pages = self._next + self._random.randrange(self._spare + 1)
        content = bytearray(
            (self._junk * (pages * PAGE // max(1, len(self._junk)) + 1))[: pages * PAGE]
            if self._junk
            else bytes(pages * PAGE)
        )
        content[:PAGE] = meta_page(0, root=root, transaction=8)
        content[PAGE : 2 * PAGE] = meta_page(1, root=self._stale_root(root), transaction=7)
        for number, data in self._made.items():
            content[number * PAGE : number * PAGE + len(data)] = data
        return bytes(content)

    def _stale_root(self, root):
        return root + 1


def database(revisions, *, per_leaf=3, value=b"v", seed=0, junk=b"", split_root=False, **meta):
    """A database with these revisions as keys, `per_leaf` in a leaf and two leaves in a branch."""
    file = File(seed=seed, junk=junk)
    leaves = [
        (LEAF, [(0, revision_key(one), value) for one in revisions[at : at + per_leaf]])
        for at in range(0, len(revisions), per_leaf)
    ]
    level = file.add_all(leaves)
    while len(level) > 1:
        branches = [
            (BRANCH, [(revision_key(0), child) for child in level[at : at + 2]])
            for at in range(0, len(level), 2)
        ]
        level = file.add_all(branches)
    keys = struct.pack("<QQ", level[0], 0) if level else inline([])
    buckets = [(1, b"key", keys), (1, b"meta", meta_bucket(**meta))]
    if not split_root:
        return file.data(file.add(LEAF, buckets))
    children = file.add_all([(LEAF, [bucket]) for bucket in buckets])
    names = [bucket[1] for bucket in buckets]
    return file.data(file.add(BRANCH, list(zip(names, children, strict=True))))
