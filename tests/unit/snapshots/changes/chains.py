"""Change logs made by hand, for those who read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from snapshots.changes.history import Base, Chain
from snapshots.changes.layout import LogFolder
from snapshots.changes.segment import Change, Place, Revised, next_place, write_segment
from snapshots.encryption import EncryptionKey
from snapshots.errors import ObjectExistsError, ObjectMissingError
from snapshots.stores import ObjectInfo

KEY = EncryptionKey(id="2026-01", secret=bytes(range(32)))
OTHER = EncryptionKey(id="2025-12", secret=bytes(32))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOG = LogFolder(cluster_id=0xC, epoch=1, name="daily")


def at(seconds):
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def ms(seconds):
    return int(at(seconds).timestamp() * 1000)


def put(key=b"key", value=b"value", *, lease=0):
    return Change(deleted=False, key=key, value=value, lease=lease, create_revision=2, version=1)


def delete(key=b"key"):
    return Change(deleted=True, key=key, value=b"", lease=0, create_revision=0, version=0)


def revised(revision, *changes, seconds=None):
    """One revision; it came so many seconds after noon, by default as many as its number."""
    received_ms = ms(revision if seconds is None else seconds)
    return Revised(revision=revision, received_ms=received_ms, changes=changes or (put(),))


def place(first=5, **changes):
    """The beginning of a chain."""
    settings = {
        "cluster": "c",
        "epoch": 1,
        "chain": first,
        "number": 0,
        "first_revision": first,
        "previous": "",
    }
    return Place(**settings | changes)


def write(where=None, revisions=None, *, leases=None, until=None, compress=False, key=None):
    """The object, its header and the header's sha256."""
    return write_segment(
        where or place(),
        (revised(5), revised(6)) if revisions is None else tuple(revisions),
        leases or {},
        complete_until=at(100) if until is None else until,
        compress=compress,
        key=key,
    )


def written(*counts, first=5, key=None, compress=False, begin=None):
    """The objects of a chain: one segment for each count, of so many revisions.

    A revision comes as many seconds after noon as its number; each segment is complete until half a
    second after its last one.
    """
    where, objects = begin or place(first), []
    for count in counts:
        number = where.first_revision
        revisions = tuple(revised(each) for each in range(number, number + count))
        data, header, sha256 = write(
            where,
            revisions,
            until=at(number + count - 0.5),
            key=key,
            compress=compress,
        )
        objects.append(data)
        where = next_place(header, sha256)
    return objects


async def stored(store, objects, *, first=5, log=LOG):
    """Puts the objects where a chain's segments are; returns the folder."""
    folder = log.chain(first)
    for number, data in enumerate(objects):
        await store.put(folder.segment(number), data)
    return folder


def base(revision, *, completed=0, path="c-1/daily-1"):
    """A backup, completed so many seconds after noon."""
    return Base(path=path, revision=revision, completed=at(completed))


def chain(first, last, *, until=None):
    """A chain of one segment; complete until so many seconds after noon, by default as many as its
    last revision.
    """
    data_revisions = tuple(revised(number) for number in range(first, last + 1))
    complete_until = at(last if until is None else until)
    _, header, sha256 = write(place(first), data_revisions, until=complete_until)
    return Chain(folder=LOG.chain(first), last=header, sha256=sha256)


class Memory:
    """A store of this process, for what is tried a hundred times."""

    def __init__(self):
        self.objects = {}

    async def put(self, path, data, **_options):
        self.objects[path] = data

    async def create(self, path, data, **_options):
        if path in self.objects:
            raise ObjectExistsError("it is there", operation="create", where=path)
        self.objects[path] = data

    async def get(self, path, **_options):
        if path not in self.objects:
            raise ObjectMissingError("it is not there", operation="get", where=path)
        return self.objects[path]

    async def delete(self, paths, **_options):
        for path in paths:
            self.objects.pop(path, None)

    async def list(self, folder="", **_options):
        for path, data in [*self.objects.items()]:
            if path.startswith(f"{folder}/"):
                yield ObjectInfo(path=path, size=len(data), modified=NOON)
