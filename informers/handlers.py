"""Changes of a cache into calls of the handlers registered for them.

The informer owns one `Handlers`. Delivery is synchronous and in order, so a handler must only
enqueue keys; one that raises is logged and counted, and keeps nobody else from being told.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from informers.store import Added, Change, Deleted, DeletedFinalStateUnknown, Updated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from informers.decode import Object

logger = logging.getLogger(__name__)


class Handler(Protocol):
    """Told of changes, in order. Must return at once: enqueue a key, nothing more.

    What it raises is logged; the change counts as delivered.
    """

    def on_add(self, obj: Object, *, initial: bool) -> None:
        """`initial`: it was there when the handler came, or in the first list."""

    def on_update(self, old: Object, new: Object) -> None:
        """A new version; or another object (uid) under the same name, made in a gap."""

    def on_delete(self, obj: Object | DeletedFinalStateUnknown) -> None:
        """The last state, or a tombstone when the deletion itself was not seen."""


class InformerStoppedError(Exception):
    """The informer has ended: it will not sync, or take handlers, any more."""


class Syncing:
    """Reached once, when the first list has been handed out; or never, if the informer ends."""

    def __init__(self) -> None:
        self._settled = asyncio.Event()
        self.is_done = False
        self.is_stopped = False

    def done(self) -> None:
        self.is_done = True
        self._settled.set()

    def stopped(self) -> None:
        self.is_stopped = True
        self._settled.set()

    async def wait(self) -> None:
        """Raises InformerStoppedError if it won't be reached any more."""
        await self._settled.wait()
        if not self.is_done:
            raise InformerStoppedError("the informer ended before it had synced")


class Registration:
    """A handler's place at an informer."""

    def __init__(self, handlers: Handlers, handler: Handler) -> None:
        self.handler = handler
        self._handlers = handlers

    @property
    def has_synced(self) -> bool:
        """Whether this handler has been told of everything the first list had."""
        return self._handlers.syncing.is_done

    async def wait_synced(self) -> None:
        """Raises InformerStoppedError if that won't happen any more."""
        await self._handlers.syncing.wait()

    def remove(self) -> None:
        """The handler is not called again. Removing twice is fine, also from within a call."""
        self._handlers.remove(self)

    @property
    def is_active(self) -> bool:
        return self._handlers.has(self)


class Handlers:
    """The registrations of one informer."""

    def __init__(self) -> None:
        self.syncing = Syncing()
        self.errors = 0  # calls that raised, ever
        self._active: dict[Registration, None] = {}

    def add(self, handler: Handler, present: Iterable[Object]) -> Registration:
        """Register; a handler that comes late is told of what is `present` before this returns.

        Raises InformerStoppedError after the informer's end.
        """
        if self.syncing.is_stopped:
            raise InformerStoppedError("handlers can't be added to an informer that has ended")
        registration = Registration(self, handler)
        self._active[registration] = None
        for obj in present:
            self.tell(Added(obj), (registration,), initial=True)
        return registration

    def remove(self, registration: Registration) -> None:
        self._active.pop(registration, None)

    def has(self, registration: Registration) -> bool:
        return registration in self._active

    def now(self) -> tuple[Registration, ...]:
        """Who must be told of a change made now. Whoever comes later finds it in the cache."""
        return tuple(self._active)

    def tell(self, change: Change, whom: Iterable[Registration], *, initial: bool) -> None:
        for registration in whom:
            if registration in self._active:
                self._call(registration.handler, change, initial=initial)

    def _call(self, handler: Handler, change: Change, *, initial: bool) -> None:
        try:
            match change:
                case Added(new):
                    handler.on_add(new, initial=initial)
                case Updated(old, new):
                    handler.on_update(old, new)
                case Deleted(last):
                    handler.on_delete(last)
        except Exception:  # one handler's defect must not stop the cache or the other handlers
            self.errors += 1
            logger.exception("the handler %r failed; the change is skipped for it", handler)
