"""A resource type of the API server into a cache that is about to be right, and its changes.

Controllers read objects from it and are told of changes; `run` keeps it fed by a reflector. Reading
never waits and never touches the network. Nothing else may write to it: the answer to a write of
ours can be older than the watch event that came before it, and storing it would bring deleted
objects back.

What handlers may rely on:

1. For each key one `on_add`, then `on_update`s, then one `on_delete`, and again. A relist keeps to
   this: what vanished meanwhile is deleted by tombstone, what is unchanged is not reported.
2. The cache changes first: a handler that reads it sees at least what it is told.
3. A late handler is told all that is there, then every change: no gap, nothing twice.
4. `has_synced` is true once the first list has been handed out, and stays true.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from informers.handlers import Handler, Handlers, Registration
from informers.listing import ListWatch, Scope
from informers.reflector import IDLE_S, Reflector, ReflectorStatistics
from informers.store import Change, Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from informers.decode import Object
    from informers.errors import KubeError
    from informers.resource import Resource
    from informers.store import Indexer

# Changes handed out before other tasks get a turn: one or two milliseconds.
_SLICE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class InformerStatistics:
    """`failing_since_s` is on the loop's clock; None while the last request succeeded."""

    resource: str
    namespace: str  # "" for all
    objects: int
    has_synced: bool
    resource_version: str
    failing_since_s: float | None
    handler_errors: int
    reflector: ReflectorStatistics


class Informer:
    """See the module. Make it inside a running loop; reading is fine before, during, after `run`.

    `indexers` by index name (`by_owner`, `by_label`, or functions of one's own): pure, quick, and
    they must not raise. `rng` spreads retries. `streaming`: ask for a streaming list first, see
    reflector.py. `idle_s`: how long a watch may bring nothing, bookmarks included.
    """

    def __init__(
        self,
        api: ListWatch,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        indexers: Mapping[str, Indexer] | None = None,
        rng: random.Random | None = None,
        streaming: bool = True,
        idle_s: float = IDLE_S,
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self._feed = _Feed(Store(indexers or {}))
        scope = Scope(resource=resource, namespace=namespace, label_selector=label_selector)
        self._reflector = Reflector(
            api,
            scope,
            self._feed,
            random=rng or random.Random(),  # noqa: S311 - spreads retries, guards no secret
            streaming=streaming,
            idle_s=idle_s,
        )
        self._started = False

    # ------------------------------------------------------------------ running
    async def run(self) -> None:
        """Keep the cache fed until cancelled; cancelling stops all I/O and leaves no task behind.

        Errors of the API server never end it: see `last_error`. RuntimeError on a second start.
        """
        if self._started:
            msg = f"the informer of {self.resource.plural} was started already"
            raise RuntimeError(msg)
        self._started = True
        try:
            await self._reflector.run()
        finally:
            self._feed.handlers.syncing.stopped()

    @property
    def has_synced(self) -> bool:
        return self._feed.handlers.syncing.is_done

    async def wait_synced(self) -> None:
        """Raises InformerStoppedError when the informer ends first; set a deadline of your own."""
        await self._feed.handlers.syncing.wait()

    @property
    def last_error(self) -> KubeError | None:
        """Why the server can't be followed right now; None while it can."""
        return self._feed.last_error

    def statistics(self) -> InformerStatistics:
        return InformerStatistics(
            resource=self.resource.plural,
            namespace=self.namespace or "",
            objects=len(self._feed.store),
            has_synced=self.has_synced,
            resource_version=self.last_resource_version,
            failing_since_s=self._feed.failing_since_s,
            handler_errors=self._feed.handlers.errors,
            reflector=self._reflector.statistics(),
        )

    # ------------------------------------------------------------------ reading
    def get(self, key: str) -> dict[str, Any] | None:
        """The object "namespace/name" as a dict of the caller's own: edits stay there."""
        obj = self._feed.store.get(key)
        return None if obj is None else obj.body()

    def peek(self, key: str) -> Object | None:
        """The same undecoded, for its uid, version, labels or owner."""
        return self._feed.store.get(key)

    def by_index(self, index: str, value: str) -> list[dict[str, Any]]:
        """Copies of all objects indexed under `value`; KeyError for an undeclared index."""
        return [obj.body() for obj in self._feed.store.by_index(index, value)]

    def peek_index(self, index: str, value: str) -> list[Object]:
        """The same undecoded."""
        return self._feed.store.by_index(index, value)

    def keys(self) -> list[str]:
        return list(self._feed.store.keys())

    @property
    def last_resource_version(self) -> str:
        """Up to here the cache has seen everything; bookmarks move it too. "" before the list."""
        return self._feed.store.resource_version

    def last_resource_version_of(self, key: str) -> str:
        """The same, for the part of the cache that holds `key`."""
        return self.last_resource_version

    # ------------------------------------------------------------------ handlers
    def add_handler(self, handler: Handler) -> Registration:
        """Tell `handler` of all changes from now on, and, before this returns, of what is there.

        Raises InformerStoppedError after the end of `run`.
        """
        return self._feed.handlers.add(handler, self._feed.store.values())


class _Feed:
    """The reflector's sink: the store first, then the handlers."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.handlers = Handlers()
        self.last_error: KubeError | None = None
        self.failing_since_s: float | None = None

    async def replace(self, objects: Sequence[Object], resource_version: str) -> None:
        initial = not self.handlers.syncing.is_done
        whom = self.handlers.now()
        changes = self.store.replace(objects, resource_version)
        for start in range(0, len(changes), _SLICE):
            for change in changes[start : start + _SLICE]:
                self.handlers.tell(change, whom, initial=initial)
            await asyncio.sleep(0)
        self.handlers.syncing.done()

    def put(self, obj: Object) -> None:
        self._tell(self.store.put(obj))

    def remove(self, obj: Object) -> None:
        self._tell(self.store.remove(obj))

    def advance(self, resource_version: str) -> None:
        self.store.advance(resource_version)

    def failed(self, error: KubeError) -> None:
        self.last_error = error
        if self.failing_since_s is None:
            self.failing_since_s = asyncio.get_running_loop().time()

    def recovered(self) -> None:
        self.last_error = self.failing_since_s = None

    def _tell(self, change: Change | None) -> None:
        if change is not None:
            self.handlers.tell(change, self.handlers.now(), initial=False)
