"""A user applies an EtcdCluster of one, three or five members and gets that many voters."""

import pytest

from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube
from e2e.harness.report import Measure


@pytest.mark.parametrize("size", [1, 3, 5])
async def test_a_cluster_of_this_size_becomes_ready(
    cluster: EtcdCluster, measure: Measure, size: int
) -> None:
    await cluster.apply(size=size)
    seconds = await cluster.ready()
    measure(f"apply to Ready, {size} members", seconds)
    for reason in ("BootstrapStarted", "BootstrapCompleted", "ClusterReady"):
        await cluster.tells(reason)

    members = await cluster.members()
    assert sorted(members) == [f"db-{ordinal}" for ordinal in range(size)]
    assert all(member.started and not member.learner for member in members.values())

    status = await cluster.status()
    assert status["phase"] == "Running"
    assert status["readyReplicas"] == size
    assert status["clusterID"] == await cluster.etcd().cluster_id()
    assert {m["name"]: m["id"] for m in status["members"]} == await cluster.ids()
    assert [m["name"] for m in status["members"] if m["role"] == "leader"] == [
        await cluster.leader()
    ]
    budget = await cluster.kube.get("PodDisruptionBudget", cluster.namespace, "db")
    assert (budget["spec"]["minAvailable"] if budget else None) == {1: None, 3: 2, 5: 3}[size]


async def test_the_longest_name_that_is_accepted_works(kube: Kube, namespace: str) -> None:
    cluster = EtcdCluster(kube, namespace, "d" * 45)
    await cluster.apply(size=1)
    await cluster.ready()
    assert list(await cluster.members()) == [f"{cluster.name}-0"]


async def test_a_cluster_of_size_zero_is_stopped_until_it_gets_a_size(cluster: EtcdCluster) -> None:
    await cluster.apply(size=0)
    await cluster.shows("Stopped")
    assert (await cluster.status())["phase"] == "Stopped"
    assert await cluster.kube.get("StatefulSet", cluster.namespace, "db") is None
    await cluster.edit(size=1)
    await cluster.ready()
