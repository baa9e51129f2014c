"""Turns "I wrote this object" into "wait until your cache has seen it": the own-write gate.

A reconciler notes each of its writes under the key it reconciles, and before it plans again asks
what its informers have not seen yet; while there is anything, its cache is older than its own hands
and must not be decided from. (The rule of Kubernetes' own controllers, KEP-5647.)

It must never block a key for ever: versions that can't be compared count as seen, a write is
forgotten after five minutes whatever the informer says, and so is one whose object is gone or was
made anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from informers.resource import compare_resource_versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from informers.resource import Resource

# As long as Kubernetes' controllers wait for an expectation (pkg/controller/controller_utils.go).
EXPIRY_S = 300.0


@dataclass(frozen=True, slots=True)
class _Write:
    resource_version: str
    uid: str
    written_at: float


class OwnWrites:
    """Our last write to each object, by the owner (queue key) for which it was made.

    clock: seconds, monotonic. One event loop, no threads; every call is synchronous.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._now = clock
        self._writes: dict[str, dict[tuple[Resource, str], _Write]] = {}

    def wrote(
        self, owner_key: str, resource: Resource, object_key: str, resource_version: str, uid: str
    ) -> None:
        """Note the answer to a create, an update or a patch of `object_key` ("namespace/name").

        Of several writes to one object the newest counts, whatever the order of the answers;
        under a new uid the last one.
        """
        writes = self._writes.setdefault(owner_key, {})
        known = writes.get((resource, object_key))
        if known is None or known.uid != uid or not _seen(resource_version, known.resource_version):
            writes[resource, object_key] = _Write(resource_version, uid, self._now())

    def deleted(
        self, owner_key: str, resource: Resource, object_key: str, *, uid: str | None = None
    ) -> None:
        """The object is gone (with `uid`: that one of its lives); wait for it no more."""
        writes = self._writes.get(owner_key, {})
        known = writes.get((resource, object_key))
        if known is not None and uid in {None, known.uid}:
            self._drop(owner_key, (resource, object_key))

    def forget(self, owner_key: str) -> None:
        """Drop everything noted for an owner, e.g. because it is gone."""
        self._writes.pop(owner_key, None)

    def waiting_for(
        self, owner_key: str, last_rv: Callable[[Resource, str], str]
    ) -> tuple[tuple[Resource, str, str], ...]:
        """The (resource, object key, resourceVersion) of writes that the informers have not seen.

        last_rv: the resourceVersion up to which the informer for this resource and object key
        has got ("" if none). Writes that were seen or have expired are forgotten on the way.
        """
        for subject, write in tuple(self._writes.get(owner_key, {}).items()):
            expired = self._now() - write.written_at >= EXPIRY_S
            if expired or _seen(write.resource_version, last_rv(*subject)):
                self._drop(owner_key, subject)
        return tuple(
            (resource, object_key, write.resource_version)
            for (resource, object_key), write in self._writes.get(owner_key, {}).items()
        )

    def _drop(self, owner_key: str, subject: tuple[Resource, str]) -> None:
        writes = self._writes[owner_key]
        del writes[subject]
        if not writes:
            del self._writes[owner_key]


def _seen(resource_version: str, up_to: str) -> bool:
    order = compare_resource_versions(resource_version, up_to)
    return order is None or order <= 0
