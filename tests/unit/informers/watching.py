"""What tests of reflectors and informers start from: a resource, objects, a recording handler."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from informers.resource import Resource
from informers.store import DeletedFinalStateUnknown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from informers.decode import Object
    from informers.informer import InformerStatistics

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")


def path_of(name: str, namespace: str = "a") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/{name}"


def config_map(data: str = "", **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"labels": labels},
        "data": {"value": data},
    }


async def eventually(
    condition: Callable[[], object], within_s: float = 300.0, *, longest_pause_s: float = 1.0
) -> None:
    """Return once `condition()` is true; the seconds are the loop's, virtual under looptime."""
    pause_s = 0.01
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.2, longest_pause_s)


@contextlib.asynccontextmanager
async def running(*informers: Any, handler_errors: int = 0) -> AsyncIterator[None]:
    """The informers run while the block does; what they raise is raised.

    Handlers must not have failed, `Recorder`'s own checks included: informers only log that.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(informer.run()) for informer in informers]
        yield
        for task in tasks:
            task.cancel()
    found = sum(each.handler_errors for informer in informers for each in _statistics(informer))
    assert found == handler_errors


def _statistics(informer: Any) -> tuple[InformerStatistics, ...]:
    statistics = informer.statistics()
    return statistics if isinstance(statistics, tuple) else (statistics,)


@dataclass
class Recorder:
    """A handler that notes what it is told, and fails on what no handler should be told."""

    events: list[tuple[str, str]] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)  # key → resourceVersion
    tombstones: list[str] = field(default_factory=list)
    initial: list[str] = field(default_factory=list)

    def on_add(self, obj: Object, *, initial: bool) -> None:
        assert obj.key not in self.known, f"{obj.key} was added twice"
        self._note("add", obj)
        if initial:
            self.initial.append(obj.key)

    def on_update(self, old: Object, new: Object) -> None:
        assert self.known.get(old.key) == old.resource_version, f"{old.key} is not what it was"
        assert (old.key, new.resource_version) != (new.key, old.resource_version)
        self._note("update", new)

    def on_delete(self, obj: Object | DeletedFinalStateUnknown) -> None:
        assert obj.key in self.known, f"{obj.key} was never there"
        if isinstance(obj, DeletedFinalStateUnknown):
            self.tombstones.append(obj.key)
        self.events.append(("delete", obj.key))
        del self.known[obj.key]

    def _note(self, what: str, obj: Object) -> None:
        self.events.append((what, obj.key))
        self.known[obj.key] = obj.resource_version
