"""Connects informers to queues: which change wakes which key.

Handlers enqueue keys and nothing else.  Objects of a cluster or a backup carry its uid as a label;
the informers of those have an index by uid, so that a change of a pod wakes the cluster or the
backup it belongs to, also when the pod is only known by its tombstone.
"""

from typing import Final

from typing_extensions import override

from informers.decode import Object
from informers.handlers import Handler
from informers.informer_set import ObjectReader
from informers.queue import WorkQueue
from informers.store import DeletedFinalStateUnknown, Indexer

BY_UID: Final = "uid"

# What was there when we started can wait for what changes now.
_INITIAL_PRIORITY: Final = -100


def by_uid(obj: Object) -> tuple[str, ...]:
    """An index of objects by their own uid."""
    return (obj.uid,)


class EnqueueSelf(Handler):
    """Wakes the key of the object that changed."""

    def __init__(self, queue: WorkQueue[str]) -> None:
        self._queue = queue

    @override
    def on_add(self, obj: Object, *, initial: bool) -> None:
        self._queue.add(obj.key, priority=_INITIAL_PRIORITY if initial else 0)

    @override
    def on_update(self, old: Object, new: Object) -> None:
        self._queue.add(new.key)

    @override
    def on_delete(self, obj: Object | DeletedFinalStateUnknown) -> None:
        self._queue.add(obj.key)


class EnqueueIndexed(Handler):
    """Wakes the keys under which an indexer of the changed object puts it."""

    def __init__(self, queue: WorkQueue[str], indexer: Indexer) -> None:
        self._queue = queue
        self._indexer = indexer

    @override
    def on_add(self, obj: Object, *, initial: bool) -> None:
        self._wake(obj, _INITIAL_PRIORITY if initial else 0)

    @override
    def on_update(self, old: Object, new: Object) -> None:
        self._wake(new)

    @override
    def on_delete(self, obj: Object | DeletedFinalStateUnknown) -> None:
        last = obj.obj if isinstance(obj, DeletedFinalStateUnknown) else obj
        if last is not None:
            self._wake(last)

    def _wake(self, obj: Object, priority: int = 0) -> None:
        for key in self._indexer(obj):
            self._queue.add(key, priority=priority)


class EnqueueOwner(Handler):
    """Wakes the object of ours whose uid the changed object carries in `label`."""

    def __init__(self, queue: WorkQueue[str], owners: ObjectReader, *, label: str) -> None:
        self._queue = queue
        self._owners = owners
        self._label = label

    @override
    def on_add(self, obj: Object, *, initial: bool) -> None:
        self._wake(obj, _INITIAL_PRIORITY if initial else 0)

    @override
    def on_update(self, old: Object, new: Object) -> None:
        self._wake(new)
        if old.labels.get(self._label) != new.labels.get(self._label):
            self._wake(old)

    @override
    def on_delete(self, obj: Object | DeletedFinalStateUnknown) -> None:
        last = obj.obj if isinstance(obj, DeletedFinalStateUnknown) else obj
        if last is not None:
            self._wake(last)

    def _wake(self, obj: Object, priority: int = 0) -> None:
        uid = obj.labels.get(self._label)
        if uid is None:
            return
        for owner in self._owners.peek_index(BY_UID, uid):
            self._queue.add(owner.key, priority=priority)


class EnqueueReferrers(Handler):
    """Wakes the objects of ours that name the changed object in their spec: those that `index` has
    under its key.
    """

    def __init__(self, queue: WorkQueue[str], referrers: ObjectReader, *, index: str) -> None:
        self._queue = queue
        self._referrers = referrers
        self._index = index

    @override
    def on_add(self, obj: Object, *, initial: bool) -> None:
        self._wake(obj, _INITIAL_PRIORITY if initial else 0)

    @override
    def on_update(self, old: Object, new: Object) -> None:
        self._wake(new)

    @override
    def on_delete(self, obj: Object | DeletedFinalStateUnknown) -> None:
        self._wake(obj)

    def _wake(self, obj: Object | DeletedFinalStateUnknown, priority: int = 0) -> None:
        for referrer in self._referrers.peek_index(self._index, obj.key):
            self._queue.add(referrer.key, priority=priority)
