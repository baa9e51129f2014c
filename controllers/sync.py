"""Turns several caches and handlers into one wait that names who is late.

The manager waits here for its caches before it takes part in the election, each controller for its
handlers before its first reconcile. Neither gives up: a process that ended would come back into the
same outage, only later; meanwhile it is not ready, and the log names what it waits for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping

log = structlog.get_logger(__name__)

_REMIND_S = 30.0


class Source(Protocol):
    """Where keys come from: an informer, or a handler's registration at one."""

    async def wait_synced(self) -> None:
        """Return once all objects that existed at the start have been handed on."""
        ...


async def wait_all_synced(who: str, sources: Mapping[str, Source]) -> None:
    """Wait for all sources together, as long as it takes; `who` waits, for the log.

    Raises an ExceptionGroup of what the sources raised.
    """
    late = set(sources)
    if not late:
        return
    async with asyncio.TaskGroup() as group:
        reminder = group.create_task(_remind(who, late))
        for name, source in sources.items():
            group.create_task(_synced(name, source, late, reminder))


async def _synced(name: str, source: Source, late: set[str], reminder: asyncio.Task[None]) -> None:
    await source.wait_synced()
    late.discard(name)
    if not late:
        reminder.cancel()


async def _remind(who: str, late: set[str]) -> None:
    """Name those that are late, every half minute."""
    waited_s = 0.0
    while True:
        await asyncio.sleep(_REMIND_S)
        waited_s += _REMIND_S
        log.warning("not read yet", who=who, late=sorted(late), waited_s=waited_s)
