"""One resource type over several namespaces, read as if it were one informer.

An operator restricted to some namespaces has no right to list the others, so each namespace gets
an informer of its own. Controllers take an `ObjectReader` and don't see the difference.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from typing import TYPE_CHECKING, Any, Protocol

from informers.informer import Informer, InformerStatistics
from informers.reflector import IDLE_S
from informers.resource import compare_resource_versions, split_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from informers.decode import Object
    from informers.errors import KubeError
    from informers.handlers import Handler, Registration
    from informers.listing import ListWatch
    from informers.resource import Resource
    from informers.store import Indexer


class ObjectReader(Protocol):
    """What `Informer` and `InformerSet` have in common for those who read."""

    def get(self, key: str) -> dict[str, Any] | None: ...
    def peek(self, key: str) -> Object | None: ...
    def by_index(self, index: str, value: str) -> list[dict[str, Any]]: ...
    def peek_index(self, index: str, value: str) -> list[Object]: ...
    def keys(self) -> list[str]: ...
    @property
    def has_synced(self) -> bool: ...
    async def wait_synced(self) -> None: ...
    @property
    def last_resource_version(self) -> str: ...
    def last_resource_version_of(self, key: str) -> str: ...


class RegistrationSet:
    """A handler's places at all informers of a set."""

    def __init__(self, registrations: Iterable[Registration]) -> None:
        self._registrations = tuple(registrations)

    @property
    def has_synced(self) -> bool:
        return all(registration.has_synced for registration in self._registrations)

    async def wait_synced(self) -> None:
        for registration in self._registrations:
            await registration.wait_synced()

    def remove(self) -> None:
        for registration in self._registrations:
            registration.remove()


class InformerSet:
    """Takes what `Informer` takes, and `namespaces`; none means all, in one informer."""

    def __init__(
        self,
        api: ListWatch,
        resource: Resource,
        *,
        namespaces: Iterable[str] = (),
        label_selector: str | None = None,
        indexers: Mapping[str, Indexer] | None = None,
        streaming: bool = True,
        idle_s: float = IDLE_S,
    ) -> None:
        make: Callable[..., Informer] = functools.partial(
            Informer,
            api,
            resource,
            label_selector=label_selector,
            indexers=indexers,
            streaming=streaming,
            idle_s=idle_s,
        )
        self.resource = resource
        self._by_namespace = {name: make(namespace=name) for name in namespaces}
        self._everywhere = None if self._by_namespace else make(namespace=None)

    @property
    def informers(self) -> tuple[Informer, ...]:
        """The informers themselves, for readiness and metrics."""
        if self._everywhere is not None:
            return (self._everywhere,)
        return tuple(self._by_namespace.values())

    async def run(self) -> None:
        """Run all until cancelled; a defect in one ends the others."""
        async with asyncio.TaskGroup() as group:
            for informer in self.informers:
                group.create_task(informer.run(), name=f"informer-{self.resource.plural}")

    @property
    def has_synced(self) -> bool:
        return all(informer.has_synced for informer in self.informers)

    async def wait_synced(self) -> None:
        """Raises InformerStoppedError when one of them ends first."""
        for informer in self.informers:
            await informer.wait_synced()

    @property
    def last_error(self) -> KubeError | None:
        """The first one's that has an error."""
        return next((i.last_error for i in self.informers if i.last_error is not None), None)

    def statistics(self) -> tuple[InformerStatistics, ...]:
        return tuple(informer.statistics() for informer in self.informers)

    # ------------------------------------------------------------------ reading
    def get(self, key: str) -> dict[str, Any] | None:
        obj = self.peek(key)
        return None if obj is None else obj.body()

    def peek(self, key: str) -> Object | None:
        informer = self._holder(key)
        return None if informer is None else informer.peek(key)

    def by_index(self, index: str, value: str) -> list[dict[str, Any]]:
        return [obj.body() for obj in self.peek_index(index, value)]

    def peek_index(self, index: str, value: str) -> list[Object]:
        return [obj for each in self.informers for obj in each.peek_index(index, value)]

    def keys(self) -> list[str]:
        return list(itertools.chain.from_iterable(each.keys() for each in self.informers))

    @property
    def last_resource_version(self) -> str:
        """The oldest of them; "" until all have listed, or when they have no order."""
        versions = [informer.last_resource_version for informer in self.informers]
        return functools.reduce(_older, versions)

    def last_resource_version_of(self, key: str) -> str:
        """Up to here the informer of that key's namespace has seen everything; "" without one."""
        informer = self._holder(key)
        return "" if informer is None else informer.last_resource_version

    def add_handler(self, handler: Handler) -> RegistrationSet:
        return RegistrationSet([informer.add_handler(handler) for informer in self.informers])

    def _holder(self, key: str) -> Informer | None:
        if self._everywhere is not None:
            return self._everywhere
        return self._by_namespace.get(split_key(key)[0])


def _older(left: str, right: str) -> str:
    order = compare_resource_versions(left, right)
    if order is None:
        return ""
    return left if order <= 0 else right
