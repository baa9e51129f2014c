"""The operator of bench/soak.py: manager, election, informers, queues and controllers as ours has
them, with a reconciler that only looks; and a supervisor that starts it anew, as a kubelet would.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from controllers.manager import Manager
from controllers.resources import CLUSTERS, CONFIG_MAPS
from controllers.runtime import Controller, Result
from controllers.wiring import EnqueueSelf
from informers.errors import NotFoundError
from informers.informer_set import InformerSet
from informers.lease import LeaderElector, LeadershipLost, make_identity
from informers.queue import WorkQueue
from informers.resource import compare_resource_versions, split_key
from informers.wire import connect_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from informers.decode import Object
    from informers.kubeconfig import Endpoint
    from informers.resource import Resource
    from informers.store import DeletedFinalStateUnknown
    from informers.wire import KubeApi

NAMESPACE = "soak"
RESOURCES = (CONFIG_MAPS, CLUSTERS)
WORKERS = 4
# Shorter than the operator's 15, 10, 2 and 90 s, so that more of them fit into a minute.
TIMINGS = {"lease_duration_s": 8.0, "renew_deadline_s": 5.0, "retry_period_s": 1.0}
IDLE_S = 20.0
CALL_TIMEOUT_S = 3.0
RESTART_AFTER_S = 0.5


@dataclass
class Record:
    """What all operators of the process did, and what none should have done."""

    leading: list[tuple[float, float, str]] = field(default_factory=list)  # from, to, who
    ends: Counter[str] = field(default_factory=Counter)  # how operators ended
    reconciles: int = 0
    errors: int = 0
    faults: list[str] = field(default_factory=list)

    def fault(self, what: str) -> None:
        print(f"soak: wrong: {what}", flush=True)
        self.faults.append(what)


@dataclass
class Ledger:
    """A handler that believes what it is told, and complains of what no handler should be told."""

    record: Record
    known: dict[str, str] = field(default_factory=dict)  # key → resourceVersion

    def on_add(self, obj: Object, *, initial: bool) -> None:
        if obj.key in self.known:
            self.record.fault(f"{obj.key} was added twice (initial: {initial})")
        self.known[obj.key] = obj.resource_version

    def on_update(self, old: Object, new: Object) -> None:
        if self.known.get(old.key) != old.resource_version:
            self.record.fault(f"{old.key} was updated from a version that was not there")
        if compare_resource_versions(old.resource_version, new.resource_version) != -1:
            self.record.fault(f"{old.key} went back in time")
        self.known[new.key] = new.resource_version

    def on_delete(self, obj: Object | DeletedFinalStateUnknown) -> None:
        if self.known.pop(obj.key, None) is None:
            self.record.fault(f"{obj.key} was deleted, and was never there")


@dataclass
class Looking:
    """A reconciler that notes the version it saw, once the API server has confirmed it."""

    api: KubeApi
    cache: InformerSet
    record: Record
    is_leader: Callable[[], bool]
    seen: dict[str, str] = field(default_factory=dict)  # key → resourceVersion

    async def reconcile(self, key: str) -> Result:
        cached = self.cache.peek(key)
        if not self.is_leader():
            self.record.fault(f"{key} was reconciled without a Lease")
        live = await self._live(key)
        if cached is None:
            self.seen.pop(key, None)
            return Result()
        if live is not None and compare_resource_versions(live, cached.resource_version) == -1:
            self.record.fault(f"{key}: the cache is ahead of the server")
        self.seen[key] = cached.resource_version
        return Result()

    async def _live(self, key: str) -> str | None:
        namespace, name = split_key(key)
        try:
            found = await self.api.get(
                self.cache.resource, namespace=namespace, name=name, timeout_s=CALL_TIMEOUT_S
            )
        except NotFoundError:
            return None
        version: str = found["metadata"]["resourceVersion"]
        return version


class Kind:
    """One resource type: its cache, queue and controller."""

    def __init__(
        self, api: KubeApi, elector: WatchedElector, resource: Resource, record: Record
    ) -> None:
        namespaces = [NAMESPACE] if resource is CONFIG_MAPS else []
        self.cache = InformerSet(api, resource, namespaces=namespaces, idle_s=IDLE_S)
        queue = WorkQueue[str](resource.plural, clock=time.monotonic)
        self.ledger = Ledger(record)
        self.reconciler = Looking(api, self.cache, record, lambda: elector.is_leading)
        self.cache.add_handler(self.ledger)
        enqueued = self.cache.add_handler(EnqueueSelf(queue))
        self.controller = Controller(
            resource.plural,
            queue,
            self.reconciler,
            workers=WORKERS,
            sources={resource.plural: enqueued},
        )

    def missing(self, there: dict[str, str], *, leads: bool) -> str | None:
        """Which of cache, handler and reconciler does not have exactly what the server has."""
        keys = self.cache.keys()
        held = {key: obj.resource_version for key in keys if (obj := self.cache.peek(key))}
        views = {"cache": held, "handler": self.ledger.known}
        if leads:
            views["reconciler"] = self.reconciler.seen
        for who, view in views.items():
            if view != there:
                wrong = sorted(dict(view.items() ^ there.items()))[:3]
                return f"{who} of {self.cache.resource.plural}: {', '.join(wrong)}"
        return None


class WatchedElector:
    """An elector that notes from when to when the work ran."""

    def __init__(self, inner: LeaderElector, name: str, record: Record) -> None:
        self._inner = inner
        self._name = name
        self._record = record
        self.is_leading = False

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        async def watched() -> None:
            began, self.is_leading = time.monotonic(), True
            try:
                await lead()
            finally:
                self.is_leading = False
                self._record.leading.append((began, time.monotonic(), self._name))

        await self._inner.run(watched)


@dataclass
class _Fixed:
    """Credentials that never change."""

    endpoint: Endpoint
    max_age_s: float | None = None

    async def load(self) -> Endpoint:
        return self.endpoint


class Life:
    """An operator from its start to its end."""

    def __init__(self, api: KubeApi, name: str, record: Record) -> None:
        inner = LeaderElector(
            api,
            namespace=NAMESPACE,
            name="soak",
            identity=f"{name}-{make_identity()}",
            die=lambda why: record.fault(f"{name} had to be ended: {why}"),
            **TIMINGS,
        )
        self.elector = WatchedElector(inner, name, record)
        self.kinds = [Kind(api, self.elector, resource, record) for resource in RESOURCES]
        self.manager = Manager(
            caches={kind.cache.resource.plural: kind.cache for kind in self.kinds},
            controllers=[kind.controller for kind in self.kinds],
            elector=self.elector,
            die=lambda why: record.fault(f"{name} did not stop: {why}"),
        )

    def count_into(self, record: Record) -> None:
        for counts in (kind.controller.counts for kind in self.kinds):
            record.reconciles += sum(counts.results.values())
            record.errors += counts.results["error"]
            if counts.panics:
                record.fault(f"{counts.panics} reconciles failed by a bug")
        statistics = (each for kind in self.kinds for each in kind.cache.statistics())
        if any(each.handler_errors for each in statistics):
            record.fault("a handler failed")


class Operator:
    """Lives one after the other until it is closed."""

    def __init__(self, name: str, endpoint: Endpoint, record: Record) -> None:
        self.name = name
        self._endpoint = endpoint
        self._record = record
        self._closing = False
        self._running: asyncio.Task[None] | None = None
        self.life: Life | None = None

    @property
    def leads(self) -> bool:
        return self.life is not None and self.life.elector.is_leading

    def stop(self) -> None:
        """As SIGTERM does."""
        if self.life is not None:
            self.life.manager.stop()

    def cancel(self) -> None:
        """As a failing part of the process does."""
        if self._running is not None:
            self._running.cancel()

    def close(self) -> None:
        self._closing = True
        self.stop()

    async def run(self) -> None:
        while not self._closing:
            async with asyncio.TaskGroup() as group:
                self._running = group.create_task(self._live(), name=f"operator-{self.name}")
            await asyncio.sleep(RESTART_AFTER_S)

    async def _live(self) -> None:
        async with await connect_to(_Fixed(self._endpoint), user_agent=f"soak-{self.name}") as api:
            self.life = Life(api, self.name, self._record)
            how = "cancelled"
            try:
                await self.life.manager.run()
                how = "stopped"
            except LeadershipLost:
                how = "lost its Lease"
            except Exception as error:  # noqa: BLE001 - noted: any other end is a failed soak
                how = "failed"
                self._record.fault(f"operator {self.name} ended by {error!r}")
            finally:
                self.life.count_into(self._record)
                self._record.ends[how] += 1
                self.life = None
