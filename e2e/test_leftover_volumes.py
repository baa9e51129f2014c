"""A cluster is deleted and its volumes are kept. Who applies one of the same name decides what
becomes of them: nothing without a word, all of it again, or a fresh start.
"""

import asyncio

from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import Kube
from e2e.harness.membership import claim_uids, has_members, same_data
from e2e.harness.report import Measure
from e2e.harness.writer import Writer

Past = tuple[Writer, str, dict[str, str]]


async def deleted(cluster: EtcdCluster) -> Past:
    """A cluster of three that was written to, and whose owner deleted it; all that it leaves."""
    await cluster.apply(size=3)
    await has_members(cluster, 3)
    async with Writer(cluster) as writer:
        await writer.goes_on()
    cluster_id, claims = await cluster.etcd().cluster_id(), await claim_uids(cluster)
    await cluster.delete()
    await cluster.gone()
    assert await claim_uids(cluster) == claims
    return writer, cluster_id, claims


async def adopted(cluster: EtcdCluster, measure: Measure) -> None:
    writer, cluster_id, claims = await deleted(cluster)
    await cluster.apply(size=3)
    message = await cluster.shows("LeftoverVolumes", within_s=60.0)
    assert all(name in message for name in claims)
    assert condition(await cluster.get(), "Stalled")["status"] == "True"
    assert await cluster.pods() == {}

    await cluster.edit(storage={"existingVolumes": "Adopt"})
    measure("three volumes adopted", await has_members(cluster, 3))
    assert await cluster.etcd().cluster_id() == cluster_id
    assert await claim_uids(cluster) == claims
    await writer.nothing_is_lost()
    await same_data(cluster)
    async with Writer(cluster) as second:
        await second.goes_on()
    await second.nothing_is_lost()


async def discarded(cluster: EtcdCluster, measure: Measure) -> None:
    _, cluster_id, claims = await deleted(cluster)
    await cluster.apply(size=3, storage={"existingVolumes": "Discard"})
    measure("three volumes discarded", await has_members(cluster, 3))
    assert await cluster.etcd().cluster_id() != cluster_id
    assert not set((await claim_uids(cluster)).values()) & set(claims.values())
    assert await cluster.etcd().under("written/") == {}


async def test_volumes_of_an_earlier_cluster_are_refused_adopted_or_discarded(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(adopted(EtcdCluster(kube, namespace, "again"), measure))
        group.create_task(discarded(EtcdCluster(kube, namespace, "fresh"), measure))
