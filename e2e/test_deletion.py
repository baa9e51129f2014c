"""An owner deletes a cluster: its volumes stay unless asked otherwise, and serve no stranger."""

import asyncio

from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import Kube, kubectl
from e2e.harness.wait import never, until


async def test_deletion_keeps_the_volumes_and_a_namesake_waits_until_they_are_gone(
    cluster: EtcdCluster,
) -> None:
    await cluster.apply(size=1)
    await cluster.ready()
    await cluster.etcd().put("of", "the first")
    await cluster.delete()
    await cluster.gone()
    assert await cluster.claims() == ["data-db-0"]
    for kind in ("StatefulSet", "Service", "ConfigMap"):
        names = [o["metadata"]["name"] for o in await cluster.kube.list(kind, cluster.namespace)]
        assert not [name for name in names if name.startswith("db")], f"{kind}s are left: {names}"

    await cluster.apply(size=1)
    message = await cluster.shows("LeftoverVolumes", within_s=30.0)
    assert "data-db-0" in message
    assert condition(await cluster.get(), "Stalled")["status"] == "True"
    assert await cluster.kube.get("StatefulSet", cluster.namespace, "db") is None

    await cluster.kube.delete("PersistentVolumeClaim", cluster.namespace, "data-db-0")
    await cluster.ready()
    assert await cluster.etcd().get("of") is None


async def test_deletion_takes_the_volumes_along_where_the_policy_says_so(
    cluster: EtcdCluster,
) -> None:
    await cluster.apply(size=3, storage={"deletionPolicy": "Delete"})
    await cluster.ready()
    assert len(await cluster.claims()) == 3
    await cluster.delete()
    await cluster.gone()

    async def no_claims() -> bool:
        return not await cluster.claims()

    await until("the claims to be gone", no_claims, within_s=30.0)


async def test_the_policy_can_be_changed_while_the_cluster_runs(cluster: EtcdCluster) -> None:
    await cluster.apply(size=1, storage={"deletionPolicy": "Delete"})
    await cluster.ready()
    await cluster.edit(storage={"deletionPolicy": "Retain"})
    await cluster.ready()

    async def has_let_go() -> bool:
        return not (await cluster.get())["metadata"].get("finalizers")

    await until("the finalizer to be taken off", has_let_go, within_s=20.0)
    await cluster.delete()
    await cluster.gone()
    assert await cluster.claims() == ["data-db-0"]


async def test_an_object_of_somebody_else_is_neither_touched_nor_waited_for_in_silence(
    cluster: EtcdCluster,
) -> None:
    theirs = {"metadata": {"name": "db-config"}, "data": {"theirs": "yes"}}
    await cluster.kube.create("ConfigMap", cluster.namespace, theirs)
    await cluster.apply(size=1)
    message = await cluster.shows("NameConflict", within_s=30.0)
    assert "db-config" in message

    async def touched() -> bool:
        found = await cluster.kube.get("ConfigMap", cluster.namespace, "db-config")
        started = await cluster.kube.get("StatefulSet", cluster.namespace, "db")
        return found is None or found["data"] != {"theirs": "yes"} or started is not None

    await never("the operator acted in spite of the conflict", touched, for_s=3.0)
    await cluster.kube.delete("ConfigMap", cluster.namespace, "db-config")
    await cluster.ready()


async def test_a_namespace_with_clusters_of_both_policies_goes(kube: Kube, namespace: str) -> None:
    clusters = {
        policy: EtcdCluster(kube, namespace, policy.lower()) for policy in ("Retain", "Delete")
    }
    for policy, cluster in clusters.items():
        await cluster.apply(size=1, storage={"deletionPolicy": policy})
    async with asyncio.TaskGroup() as group:
        for cluster in clusters.values():
            group.create_task(cluster.ready())
    await kubectl("delete", "namespace", namespace, "--timeout=75s")
