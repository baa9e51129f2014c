"""Turns several caches and handlers into one wait that names who is late.

The manager waits here for its caches before it takes part in the election, each controller for its
handlers before its first reconcile.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class SyncTimeoutError(Exception):
    """A source was not read completely in time; the message names it."""


class Source(Protocol):
    """Where keys come from: an informer, or a handler's registration at one."""

    async def wait_synced(self) -> None:
        """Return once all objects that existed at the start have been handed on."""
        ...


async def wait_all_synced(who: str, sources: Mapping[str, Source], *, timeout_s: float) -> None:
    """Wait for all sources together; `who` waits, for the message.

    Raises SyncTimeoutError, or an ExceptionGroup of what the sources raised.
    """
    late = set(sources)
    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            for name, source in sources.items():
                group.create_task(_synced(name, source, late))
    except TimeoutError:
        msg = f"{who}: not read within {timeout_s:g} s: {', '.join(sorted(late))}"
        raise SyncTimeoutError(msg) from None


async def _synced(name: str, source: Source, late: set[str]) -> None:
    await source.wait_synced()
    late.discard(name)
