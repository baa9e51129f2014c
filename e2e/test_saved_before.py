"""A schedule says where to: a cluster is saved before another version of etcd, before it sleeps,
and before it is deleted with its data.
"""

from datetime import datetime

import pytest

from e2e.harness.backup import EtcdBackup, make_claim
from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube, Object
from e2e.harness.wait import until
from e2e.test_upgrades import NEXT, PATCHED, to

pytestmark = pytest.mark.inside_only("pods that take backups run the operator's image")

# Never due by itself.
YEARLY: Object = {
    "clusterName": "db",
    "schedule": "0 0 29 2 *",
    "storageType": "Local",
    "local": {"claimName": "backups"},
}


async def test_a_cluster_is_saved_before_a_version_and_before_its_end(
    cluster: EtcdCluster, kube: Kube, namespace: str
) -> None:
    await make_claim(kube, namespace, "backups")
    await EtcdBackup(kube, namespace, "leap-days").apply(**YEARLY)
    await cluster.apply(size=1, version=PATCHED, storage={"deletionPolicy": "SnapshotThenDelete"})
    await cluster.ready()
    await cluster.etcd().put("of", "the first")

    await to(cluster, NEXT)

    before = await backup_named(kube, namespace, f"db-before-{NEXT.replace('.', '-')}-")
    assert before["status"]["phase"] == "Completed"
    assert before["status"]["etcdVersion"] == PATCHED.removeprefix("v")
    saved = datetime.fromisoformat(before["status"]["completionTime"])
    pod = await cluster.pod("db-0")
    assert pod is not None
    assert saved <= datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    assert (await cluster.status())["lastBackupTime"] == before["status"]["completionTime"]

    await cluster.delete()
    await cluster.gone(within_s=120.0)

    last = await backup_named(kube, namespace, "db-last-")
    assert last["status"]["phase"] == "Completed"
    assert last["status"]["etcdVersion"] == NEXT.removeprefix("v")

    async def no_claims() -> bool:
        return not await cluster.claims()

    await until("the claims to be gone", no_claims, within_s=30.0)


async def test_a_cluster_is_saved_before_it_sleeps(
    cluster: EtcdCluster, kube: Kube, namespace: str
) -> None:
    await make_claim(kube, namespace, "backups")
    await EtcdBackup(kube, namespace, "leap-days").apply(**YEARLY)
    await cluster.apply(size=1)
    await cluster.ready()
    await cluster.etcd().put("before", "sleep")

    await cluster.edit(size=0)
    await cluster.shows("Stopped", within_s=120.0)

    saved = await backup_named(kube, namespace, "db-before-sleep-")
    assert saved["status"]["phase"] == "Completed"
    assert saved["status"]["keys"] == 1


async def backup_named(kube: Kube, namespace: str, beginning: str) -> Object:
    found = await kube.list("EtcdBackup", namespace)
    names = [one["metadata"]["name"] for one in found]
    ours = [one for one in found if one["metadata"]["name"].startswith(beginning)]
    assert len(ours) == 1, names
    return ours[0]
