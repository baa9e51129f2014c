"""What the benchmarks of membership share: a cluster that the operator runs, a namespace of its own
for each measurement, and waiting for pods.

Only the API server is asked; the operator runs already, wherever it does.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from controllers.resources import CLAIMS, CLUSTERS, NAMESPACES, PODS
from informers.errors import NotFoundError
from informers.wire import KubeApi

DEADLINE_S = 300.0
LOOK_S = 0.05
# Etcd takes no new member before all have been connected for 5 s.
QUIET_S = 6.0
SPEC: Mapping[str, Any] = {
    "version": "v3.6.16",
    "storage": {"size": "1Gi"},
    "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
    "security": {"tls": {"enabled": False}},
}


async def until(is_so: Callable[[], Awaitable[bool]]) -> float:
    """Looks until it is so; returns the seconds that it took. Raises TimeoutError."""
    began = time.perf_counter()
    async with asyncio.timeout(DEADLINE_S):
        while not await is_so():
            await asyncio.sleep(LOOK_S)
    return time.perf_counter() - began


@contextlib.asynccontextmanager
async def namespace(api: KubeApi, purpose: str) -> AsyncIterator[str]:
    """For one measurement. When it is left its pods are gone: the next one must not share CPU."""
    name = f"bench-{purpose}-{int(time.monotonic() * 1000) % 1_000_000}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await api.create(NAMESPACES, body)
    try:
        yield name
    finally:
        await api.delete(NAMESPACES, name=name)

        async def is_gone() -> bool:
            return name not in {found["metadata"]["name"] for found in await api.list(NAMESPACES)}

        await until(is_gone)


def is_ready(obj: Mapping[str, Any]) -> bool:
    conditions = obj.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


async def ready_pods(api: KubeApi, space: str, name: str) -> dict[str, str]:
    """The uids of the pods that are ready, which of etcd's only voters are, by name."""
    label = f"app.kubernetes.io/instance={name}"
    pods = await api.list(PODS, namespace=space, label_selector=label)
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods if is_ready(pod)}


async def wait_ready(api: KubeApi, space: str, name: str, size: int) -> float:
    async def all_ready() -> bool:
        return len(await ready_pods(api, space, name)) == size

    return await until(all_ready)


async def restarted(
    api: KubeApi, space: str, name: str, pod: str, *, at_once: bool = True
) -> float:
    """Kills a pod, or lets it end in peace; the seconds until the one in its place is ready."""
    old = (await ready_pods(api, space, name))[pod]
    await api.delete(PODS, namespace=space, name=pod, grace_period_s=0 if at_once else None)

    async def is_back() -> bool:
        return (await ready_pods(api, space, name)).get(pod, old) != old

    return await until(is_back)


class Managed:
    """A cluster that the operator runs."""

    def __init__(self, api: KubeApi, space: str, name: str) -> None:
        self._api, self.space, self.name = api, space, name

    async def create(self, size: int, **spec: object) -> float:
        """Seconds from the order to Ready."""
        body = {
            "apiVersion": "etcd.etcd.io/v1alpha1",
            "kind": "EtcdCluster",
            "metadata": {"name": self.name, "namespace": self.space},
            "spec": {**SPEC, "size": size, **spec},
        }
        await self._api.create(CLUSTERS, body, namespace=self.space)

        async def is_formed() -> bool:
            return is_ready(await self._get())

        return await until(is_formed)

    async def scale(self, size: int) -> float:
        """Seconds until so many vote, by the operator's record, and their pods are ready."""
        patch = {"spec": {"size": size}}
        await self._api.patch(CLUSTERS, patch, namespace=self.space, name=self.name)

        async def is_so() -> bool:
            status = (await self._get())["status"]
            if len(status["voterOrdinals"]) != size or status.get("joining"):
                return False
            return len(await ready_pods(self._api, self.space, self.name)) >= size

        return await until(is_so)

    async def becomes(self, **spec: object) -> float:
        """Seconds until an edit of the spec is what runs."""
        patch = {"spec": spec}
        await self._api.patch(CLUSTERS, patch, namespace=self.space, name=self.name)

        async def is_so() -> bool:
            cluster = await self._get()
            done = [c for c in cluster["status"]["conditions"] if c["type"] == "UpToDate"]
            generation = cluster["metadata"]["generation"]
            return (done[0]["status"], done[0]["observedGeneration"]) == ("True", generation)

        return await until(is_so)

    async def lose(self, ordinal: int) -> float:
        """A member loses claim and pod: seconds until another one votes in its place."""
        pod = f"{self.name}-{ordinal}"
        before = await self._member(pod)
        with contextlib.suppress(NotFoundError):
            await self._api.delete(CLAIMS, namespace=self.space, name=f"data-{pod}")
            await self._api.delete(PODS, namespace=self.space, name=pod, grace_period_s=0)

        async def is_replaced() -> bool:
            now = await self._member(pod)
            return bool(now["id"] != before["id"] and now["ready"] and now["role"] == "follower")

        return await until(is_replaced)

    async def _get(self) -> Mapping[str, Any]:
        return await self._api.get(CLUSTERS, namespace=self.space, name=self.name)

    async def _member(self, name: str) -> Mapping[str, Any]:
        members = (await self._get())["status"]["members"]
        return next(member for member in members if member["name"] == name)
