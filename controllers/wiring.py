"""Connects informers to queues: which change wakes which key.

Handlers enqueue keys and nothing else.  Objects of a cluster carry its uid as a label; the informer
of clusters has an index by uid, so that a change of a pod wakes the cluster it belongs to, also
when the pod is only known by its tombstone.
"""

from typing import Final

from typing_extensions import override

from api.labels import CLUSTER_UID_LABEL
from informers.decode import Object
from informers.handlers import Handler
from informers.informer_set import ObjectReader
from informers.queue import WorkQueue
from informers.store import DeletedFinalStateUnknown

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


class EnqueueCluster(Handler):
    """Wakes the cluster whose uid the object carries."""

    def __init__(self, queue: WorkQueue[str], clusters: ObjectReader) -> None:
        self._queue = queue
        self._clusters = clusters

    @override
    def on_add(self, obj: Object, *, initial: bool) -> None:
        self._wake(obj, _INITIAL_PRIORITY if initial else 0)

    @override
    def on_update(self, old: Object, new: Object) -> None:
        self._wake(new)
        if old.labels.get(CLUSTER_UID_LABEL) != new.labels.get(CLUSTER_UID_LABEL):
            self._wake(old)

    @override
    def on_delete(self, obj: Object | DeletedFinalStateUnknown) -> None:
        last = obj.obj if isinstance(obj, DeletedFinalStateUnknown) else obj
        if last is not None:
            self._wake(last)

    def _wake(self, obj: Object, priority: int = 0) -> None:
        uid = obj.labels.get(CLUSTER_UID_LABEL)
        if uid is None:
            return
        for cluster in self._clusters.peek_index(BY_UID, uid):
            self._queue.add(cluster.key, priority=priority)
