"""What a reflector saw into a keyed, indexed cache, and each step into the change it made.

The informer calls it; it has no tasks and no callbacks. Invariants:

1. `replace` swaps everything at once: a reader sees the old state or the new, never a mixture.
2. The changes it and `put` and `remove` return are consistent: nothing is added twice, only what
   is there is updated or removed.
3. An index holds exactly the keys its function names for the objects stored now; buckets that
   became empty are gone.
4. `resource_version` is that of the state readers see, never ahead of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from informers.decode import Object

if TYPE_CHECKING:
    from collections.abc import KeysView

# The values under which an object is found in an index; none: not at all.
Indexer: TypeAlias = Callable[[Object], Iterable[str]]


def by_owner(obj: Object) -> tuple[str, ...]:
    """Indexer: the uid of the controlling owner."""
    return (obj.owner_uid,) if obj.owner_uid else ()


def by_label(name: str) -> Indexer:
    """Indexer: the value of the label `name`."""

    def values(obj: Object) -> tuple[str, ...]:
        value = obj.labels.get(name)
        return () if value is None else (value,)

    return values


@dataclass(frozen=True, slots=True)
class DeletedFinalStateUnknown:
    """A tombstone: the object went away unseen. `obj` is the last state known, maybe outdated."""

    key: str
    obj: Object | None


@dataclass(frozen=True, slots=True)
class Added:
    new: Object


@dataclass(frozen=True, slots=True)
class Updated:
    """The same key; another uid if the object was deleted and made again in between."""

    old: Object
    new: Object


@dataclass(frozen=True, slots=True)
class Deleted:
    last: Object | DeletedFinalStateUnknown


Change: TypeAlias = Added | Updated | Deleted

_Objects: TypeAlias = dict[str, Object]
# index name → value → keys, in insertion order
_Indexes: TypeAlias = dict[str, dict[str, dict[str, None]]]


class Store:
    """See the module. Reading methods raise KeyError for an index that was not declared."""

    def __init__(self, indexers: Mapping[str, Indexer]) -> None:
        self._indexers = dict(indexers)
        self._objects: _Objects = {}
        self._indexes: _Indexes = {name: {} for name in indexers}
        self._resource_version = ""

    @property
    def resource_version(self) -> str:
        """Of the last change or bookmark; "" before the first list."""
        return self._resource_version

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: str) -> Object | None:
        return self._objects.get(key)

    def keys(self) -> KeysView[str]:
        """A live view: copy it before awaiting."""
        return self._objects.keys()

    def values(self) -> list[Object]:
        return list(self._objects.values())

    def by_index(self, index: str, value: str) -> list[Object]:
        keys = self._indexes[index].get(value, ())
        return [self._objects[key] for key in keys]

    def put(self, obj: Object) -> Change | None:
        """Store an object seen in a watch; None when this very version is stored already."""
        old = self._objects.get(obj.key)
        buckets = self._buckets(obj)  # before anything changes: an indexer may raise
        self._resource_version = obj.resource_version
        if old is not None and _is_same(old, obj):
            return None
        if old is not None:
            self._unindex(old)
        self._objects[obj.key] = obj
        _enter(obj.key, buckets, self._indexes)
        return Added(obj) if old is None else Updated(old, obj)

    def remove(self, obj: Object) -> Deleted | None:
        """Forget an object deleted in a watch; None when it was not known."""
        self._resource_version = obj.resource_version
        old = self._objects.pop(obj.key, None)
        if old is None:
            return None
        self._unindex(old)
        return Deleted(obj)

    def advance(self, resource_version: str) -> None:
        """Note a bookmark."""
        self._resource_version = resource_version

    def replace(self, objects: Iterable[Object], resource_version: str) -> list[Change]:
        """Make this list the whole content; deletions first, then the rest in list order.

        Objects in an unchanged version give no change. When an indexer raises, nothing changed.
        """
        fresh: _Objects = {obj.key: obj for obj in objects}
        indexes: _Indexes = {name: {} for name in self._indexers}
        for obj in fresh.values():
            _enter(obj.key, self._buckets(obj), indexes)
        stale = self._objects
        self._objects, self._indexes = fresh, indexes
        self._resource_version = resource_version
        return _difference(stale, fresh)

    def _buckets(self, obj: Object) -> set[tuple[str, str]]:
        return {(name, value) for name, indexer in self._indexers.items() for value in indexer(obj)}

    def _unindex(self, obj: Object) -> None:
        for name, value in self._buckets(obj):
            bucket = self._indexes[name][value]
            del bucket[obj.key]
            if not bucket:
                del self._indexes[name][value]


def _enter(key: str, buckets: set[tuple[str, str]], indexes: _Indexes) -> None:
    for name, value in buckets:
        indexes[name].setdefault(value, {})[key] = None


def _difference(stale: _Objects, fresh: _Objects) -> list[Change]:
    changes: list[Change] = [
        Deleted(DeletedFinalStateUnknown(key, obj))
        for key, obj in stale.items()
        if key not in fresh
    ]
    for key, new in fresh.items():
        old = stale.get(key)
        if old is None:
            changes.append(Added(new))
        elif not _is_same(old, new):
            changes.append(Updated(old, new))
    return changes


def _is_same(old: Object, new: Object) -> bool:
    return old.resource_version == new.resource_version and old.uid == new.uid
