"""A cluster made of the very objects that the operator renders, but without it: the floor that
others are measured against, grown by an attentive hand.

No object has an owner, as the garbage collector would remove them.  Run where pods are routable.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import BootstrapMember, BootstrapStatus
from bench.objects import unowned_objects
from controllers.cluster.membership import Membership
from controllers.cluster.render.identity import identity_of
from controllers.resources import BY_KIND, PODS
from etcd.client import EtcdClient
from etcd.dialer import DirectDialer, Endpoint
from etcd.errors import EtcdError
from etcd.ids import MemberID
from etcd.pool import ChannelPool
from informers.wire import KubeApi

T = TypeVar("T")

MANAGER = "bench"
CALL_S = 2.0
AGAIN_S = 0.1
INSISTS_FOR_S = 120.0


class ByHand:
    """One such cluster, of `size` members at first."""

    def __init__(
        self, api: KubeApi, namespace: str, name: str, spec: Mapping[str, Any], size: int
    ) -> None:
        self._api, self._namespace, self._name = api, namespace, name
        self._spec = ClusterSpec.model_validate({**spec, "size": size})
        self._size = size
        bootstrap = BootstrapStatus(
            token=f"by-hand-{name}",
            epoch=1,
            size=size,
            members=tuple(BootstrapMember(name=f"{name}-{n}", ordinal=n) for n in range(size)),
        )
        self._who = identity_of(namespace, name, f"by-hand-{name}", bootstrap)

    async def create(self) -> None:
        await self._apply(self._membership(formed=False))

    async def grow(self) -> None:
        """One more voter: added as a learner, started, promoted as soon as etcd lets it be."""
        pool = ChannelPool(DirectDialer())
        try:
            client = await self._first(pool)
            peer_url = self._who.peer_url(self._size)
            member_id = await _insist(lambda: _add(client, peer_url))
            self._size += 1
            await self._apply(self._membership(formed=True, opened=self._size - 1))
            await _insist(lambda: client.cluster.member_promote(member_id, timeout_s=CALL_S))
        finally:
            await pool.close()

    def _membership(self, *, formed: bool, opened: int | None = None) -> Membership:
        everyone = tuple(range(self._size))
        listed = everyone if opened is not None else ()
        return Membership(formed=formed, ordinals=everyone, late=(), opened=opened, listed=listed)

    async def _apply(self, membership: Membership) -> None:
        for obj in unowned_objects(self._who, self._spec, membership):
            name = obj["metadata"]["name"]
            kind = BY_KIND[obj["kind"]]
            await self._api.apply(
                kind, obj, namespace=self._namespace, name=name, field_manager=MANAGER
            )

    async def _first(self, pool: ChannelPool) -> EtcdClient:
        name = f"{self._name}-0"
        pod = await self._api.get(PODS, namespace=self._namespace, name=name)
        return pool.client(
            Endpoint(
                cluster=f"{self._namespace}/{self._name}",
                namespace=self._namespace,
                pod=name,
                pod_uid=pod["metadata"]["uid"],
                address=pod["status"]["podIP"],
                fqdn=self._who.host(0),
            )
        )


async def _add(client: EtcdClient, peer_url: str) -> MemberID:
    added = await client.cluster.member_add(peer_urls=[peer_url], is_learner=True, timeout_s=CALL_S)
    return added.member.id


async def _insist(call: Callable[[], Awaitable[T]]) -> T:
    """Asks etcd again and again until it agrees: not healthy for 5 s yet, not caught up yet."""
    async with asyncio.timeout(INSISTS_FOR_S):
        while True:
            try:
                return await call()
            except EtcdError:
                await asyncio.sleep(AGAIN_S)
